"""The audio front end in ONNX: none."""

from __future__ import annotations

REFUSED = "it reads raw audio: export to C, or write the network after it"
