"""ONNX files: the format on disk. ``reader`` and ``writer`` are the two ways; the rest is what they share."""
