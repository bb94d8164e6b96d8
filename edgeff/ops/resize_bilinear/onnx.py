"""An image in another size in ONNX: none is written; Resize in mode linear."""

from __future__ import annotations

REFUSED = "ONNX's Resize computes from a ratio in float32, which gives other sizes: write it as TFLite or C"
