"""One over the square root in ONNX: none."""

from __future__ import annotations

REFUSED = "ONNX has no operator of one over the square root that is finite at zero: keep the .tflite file, or export to C"
