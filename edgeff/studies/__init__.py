"""Studies of forward-only learning beside the main road: published cost sheets, ODEs of learning, robustness, early exits."""
