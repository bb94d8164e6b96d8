"""Maxima over windows in TFLite: MAX_POOL_2D."""

from __future__ import annotations

from edgeff.formats.tflite.windows import pool
from edgeff.ops.max_pool2d import MaxPool2d

READERS = {"MAX_POOL_2D": pool(MaxPool2d)}
