"""Averages over windows in TFLite: AVERAGE_POOL_2D."""

from __future__ import annotations

from edgeff.formats.tflite.windows import pool
from edgeff.ops.average_pool2d import AveragePool2d

READERS = {"AVERAGE_POOL_2D": pool(AveragePool2d)}
