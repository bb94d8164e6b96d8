"""Training on the host, in float: the loop, and the optimisers it steps with."""
