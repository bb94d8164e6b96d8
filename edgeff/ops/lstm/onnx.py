"""Long short-term memory in ONNX: none yet."""

from __future__ import annotations

REFUSED = "ONNX's LSTM has other roundings, and none for int8: keep the .tflite file, which every command takes, or export to C"
