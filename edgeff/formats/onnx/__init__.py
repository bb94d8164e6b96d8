"""ONNX files: the format on disk. ``reader`` and ``writer`` are the two directions; the rest is shared."""
