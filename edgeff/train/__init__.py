"""Training on the host, in float: the loop and its optimisers."""
