"""The ONNX forms of the words' kernels, one module for each word (see ``edgeff.kernels.onnx``)."""
