"""Maxima over windows in TFLite: MAX_POOL_2D."""

from __future__ import annotations

from edgeff.formats.tflite.windows import pool

READERS = {"MAX_POOL_2D": pool("max")}
