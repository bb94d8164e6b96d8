"""Batch normalisation in TFLite: none."""

from __future__ import annotations

REFUSED = "it is folded into the layer before it when a model is written"
