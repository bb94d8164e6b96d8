"""The hard swish, ``x min(max(x + 3, 0), 6) / 6``; int8 as TFLite's HARD_SWISH."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array
from edgeff.kernels.arithmetic import INT32_MAX, Int, multiplier_and_shift, shift_round
from edgeff.ops import operator
from edgeff.ops.elementwise import INPUTS, Elementwise, Scales

LOWEST_SHIFT = -15
"""The lowest shift at which TFLM's shift of a 16-bit number rounds correctly."""


@operator
@dataclass(frozen=True, kw_only=True)
class HardSwish(Elementwise):
    """``y = x min(max(x + 3, 0), 6) / 6``. int8: what TFLM's HARD_SWISH gives, bit for bit."""

    name: ClassVar[str] = "hard_swish"
    summary: ClassVar[str] = "x times a ramp from 0 at -3 to 1 at 3"
    keeps_sign: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        return np.asarray(x * np.clip(x + 3, 0, 6) / 6)

    def slope(self, x: Array) -> Array:
        inside = (x > -3) & (x < 3)
        return np.asarray(np.where(inside, (2 * x + 3) / 6, (x >= 3).astype(x.dtype)))

    def table(self, scales: Scales) -> Array:
        """TFLite's scheme in 16 bits: the input times 128 in the output's scale, times the ramp from 0 to 1 in Q0.15.

        Source: tensorflow/lite/kernels/internal/reference/hard_swish.h, lite/micro/kernels/hard_swish_common.cc. Established with
        tflite-micro 0.dev20261023: its factors are quotients in float64, where older sources have float32.
        """
        fine = scales.x / 128
        y_factor, y_shift = _factor(fine / scales.y, 0)
        ramp_factor, ramp_shift = _factor(fine / (3 / 32768), 30)
        x = (INPUTS - scales.x_zero) << 7
        ramp = _saturated(x << max(ramp_shift - 1, 0))
        ramp = _high_mul(ramp, ramp_factor)
        ramp = _saturated(ramp << 1) if ramp_shift > 0 else shift_round(ramp, -ramp_shift)
        ramp = (ramp + (1 << 15)) >> 1
        product = ramp * _high_mul(x, y_factor)
        made = shift_round(np.sign(product) * (np.abs(product) >> 15), -y_shift) + scales.y_zero
        return np.clip(_wrapped(made), -128, 127)


def _factor(real: float, highest: int) -> tuple[int, int]:
    """A factor as 15 bits and a shift. Raises Unsupported for one that TFLM refuses or computes wrongly."""
    multiplier, shift = multiplier_and_shift(real)
    if not LOWEST_SHIFT <= shift <= highest:
        allowed = f"2**{LOWEST_SHIFT - 1} to 2**{highest}"
        next_step = "calibrate on data that reach above zero"
        raise Unsupported("rescaling", got=f"a factor of {real:.3g}", allowed=allowed, next_step=next_step)
    return 32767 if multiplier >= INT32_MAX - (1 << 15) else (multiplier + (1 << 15)) >> 16, shift


def _high_mul(a: Array, b: int) -> Int:
    """round(a * b / 2**15), ties upwards; 16-bit values, b >= 0."""
    return (a.astype(np.int64) * b + (1 << 14)) >> 15


def _saturated(v: Array) -> Int:
    return np.clip(v.astype(np.int64), -32768, 32767)


def _wrapped(v: Int) -> Int:
    """``v`` wrapped to 16 bits: TFLM adds the zero point to a 16-bit number."""
    return ((v + 32768) & 0xFFFF) - 32768
