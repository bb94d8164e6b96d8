"""Averages over windows in TFLite: AVERAGE_POOL_2D."""

from __future__ import annotations

from edgeff.formats.tflite.windows import pool

READERS = {"AVERAGE_POOL_2D": pool("average")}
