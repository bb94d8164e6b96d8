"""The output stage of layers with int16 activations and int8 weights (TFLite's 16x8), and the limits that keep their sums in 64 bits."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.arithmetic import Int, requantise, saturate32
from edgeff.kernels.records import OutputI16

BIAS_LIMIT_I64 = 1 << 46
MOST_SHIFT = 7
"""A sum of less than 2**47 times 2**15 / 2**(15 - shift) needs no more than 63 bits."""


def requantise_wide(v: Array, multiplier: Array, shift: Array) -> Int:
    """``v * multiplier * 2**(shift - 31)``, the multiplier cut to 15 bits, rounded once, ties upwards: TFLite's for sums of 64 bits.

    Args: ``v``, |v| < 2**47; ``multiplier`` >= 0; -31 <= ``shift`` <= 7. Source: tensorflow/lite/kernels/internal/common.cc.
    """
    cut = np.minimum((multiplier.astype(np.int64) + (1 << 15)) >> 16, 0x7FFF)
    away = 15 - shift.astype(np.int64)
    return np.asarray((v.astype(np.int64) * cut + (np.int64(1) << (away - 1))) >> away)


def output_i16(sums: Array, multiplier: Array, shift: Array, output: OutputI16) -> Array:
    """Sums of 64 bits as int16 outputs: rescaled and limited."""
    scaled = requantise_wide(sums, multiplier, shift) if output.wide else requantise(saturate32(sums), multiplier, shift)
    return np.clip(scaled, output.y_min, output.y_max)
