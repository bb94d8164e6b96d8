"""Number formats in ONNX: none that change between layers."""

from __future__ import annotations

REFUSED = "model files hold one number format: export a network of several to C"
