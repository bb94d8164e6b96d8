"""Networks and programs -> files: ONNX (the format on disk), TFLite, C."""
