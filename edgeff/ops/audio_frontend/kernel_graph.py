"""The audio front end has no graph form."""

from __future__ import annotations

REFUSED = "its FFT rounds to 16 bits step by step, for which ONNX and TFLite have no words; feed features"
