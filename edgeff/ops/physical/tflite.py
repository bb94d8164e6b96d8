"""The physical medium in TFLite: none."""

from __future__ import annotations

REFUSED = "it is a black box outside the model, which no file can hold"
