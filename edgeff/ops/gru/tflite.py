"""A gated recurrent unit in TFLite: none."""

from __future__ import annotations

REFUSED = "TFLite has no operator for it: write it as ONNX or C"
