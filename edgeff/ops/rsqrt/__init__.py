"""One over the square root; int8 as TFLite's RSQRT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.arithmetic import INT32_MAX, high_mul, requantise, saturate32, shift_round
from edgeff.ops import operator
from edgeff.ops.elementwise import INPUTS, Elementwise, Scales, rescaling

LEAST = 2.0**-40
BITS = 20
"""Fractional bits of the root's reciprocal before it is brought to the output's scale."""
HALF_THREE, HALF_ROOT_OF_TWO = (1 << 28) + (1 << 27), 1518500250
"""1.5 in Q3.28, and sqrt(2) / 2 in Q0.31."""


@operator
@dataclass(frozen=True, kw_only=True)
class Rsqrt(Elementwise):
    """``y = 1 / sqrt(max(x, 2**-40))``: finite for every x, where 1 / sqrt(x) is not for x <= 0.

    int8: what TFLM's RSQRT gives, bit for bit, and its largest output where TFLM stops, below zero.
    """

    name: ClassVar[str] = "rsqrt"
    summary: ClassVar[str] = "one over the square root"
    keeps_sign: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        return np.asarray(x.dtype.type(1) / np.sqrt(np.maximum(x, x.dtype.type(LEAST))))

    def slope(self, x: Array) -> Array:
        root = self.value(x)
        return np.asarray(np.where(x > LEAST, x.dtype.type(-0.5) * root * root * root, x.dtype.type(0)))

    def table(self, scales: Scales) -> Array:
        """TFLite's fixed-point scheme: the reciprocal root of the distance from the zero point, then the output's scale.

        The factor is computed in float32, as TFLM does. Source: tensorflow/lite/micro/kernels/elementwise.cc.
        """
        size = INPUTS - scales.x_zero
        roots = np.array([_reciprocal_root(max(int(v), 1)) for v in size])
        multiplier, shift = rescaling(1.0 / float(np.sqrt(np.float32(scales.x)) * np.float32(scales.y)), 30)
        q = np.clip(requantise(roots, multiplier, shift - BITS) + scales.y_zero, -128, 127)
        return np.asarray(np.where(size > 0, q, 127))


def _reciprocal_root(v: int) -> int:
    """1 / sqrt(v) in steps of 2**-20, 1 <= v <= 255: five Newton-Raphson steps from 1, v / 4**k in Q3.28."""
    if v == 1:
        return int(requantise(1, INT32_MAX, BITS))
    pairs = (31 - v.bit_length()) // 2 - 1
    half = int(shift_round((v << 2 * pairs) >> 1, 1))
    x = 1 << 28
    for _ in range(5):
        cube = saturate32(high_mul(high_mul(x, x), x) << 6)
        x = int(saturate32((high_mul(HALF_THREE, x) - high_mul(half, cube)) << 3))
    return int(requantise(1, high_mul(x, HALF_ROOT_OF_TWO), BITS - (11 - pairs)))
