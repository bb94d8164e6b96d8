"""Mel-frequency cepstral coefficients have no graph form."""

from __future__ import annotations

REFUSED = (
    "its sums run in one order of float32 roundings that ONNX and TFLite leave open, and int8 features must agree to the bit; feed features"
)
