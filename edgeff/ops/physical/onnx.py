"""The physical medium in ONNX: none."""

from __future__ import annotations

REFUSED = "it is a black box outside the model, which no file can hold"
