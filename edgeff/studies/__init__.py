"""Studies of forward-only learning apart from the main workflow: published cost sheets, ODEs of learning, robustness, early exits."""
