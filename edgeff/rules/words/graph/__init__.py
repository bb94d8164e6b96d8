"""The graph forms of the words' kernels, one module for each word (see ``edgeff.kernels.graph``)."""
