"""Rows of earlier inputs in ONNX: none."""

from __future__ import annotations

REFUSED = "ONNX has no operator that remembers earlier inputs: keep the .tflite file, which every command takes, or export to C"
