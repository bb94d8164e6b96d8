"""The difference of two activations."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.broadcast import LeftF32, LeftI8, LeftI16, OutOfBothF32, OutOfBothI8, OutOfBothI16, RightF32, RightI8, RightI16, pairs
from edgeff.kernels.records import Broadcast, Relu, Rescale, RescaleWide, Sides

SUB_BITS, SUB_BITS_I16 = 20, 15


@kernel()
def eff_sub_f32(y: OutOfBothF32, a: LeftF32, c: RightF32, how: Broadcast, relu: Relu) -> None:
    """y = a - c, then the activation."""
    left, right = pairs(how, a, c)
    y[:] = activate(left - right, relu)


@kernel()
def eff_sub_i8(y: OutOfBothI8, a: LeftI8, c: RightI8, how: Broadcast, sides: Sides, total: Rescale) -> None:
    """TFLite's int8 SUB: both sides times 2**20 and rescaled by a factor <= 1/2, subtracted, rescaled to the output."""
    left, right = (side.astype(np.int64) for side in pairs(how, a, c))
    left = requantise((left - sides.a_zero) << SUB_BITS, sides.a_multiplier, sides.a_shift)
    right = requantise((right - sides.c_zero) << SUB_BITS, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(requantise(left - right, total.multiplier, total.shift) + total.y_zero, total.y_min, total.y_max)


@kernel()
def eff_sub_i16(y: OutOfBothI16, a: LeftI16, c: RightI16, how: Broadcast, sides: Sides, total: RescaleWide) -> None:
    """TFLite's int16 SUB: as eff_sub_i8 with 2**15 and zero points 0."""
    left, right = (side.astype(np.int64) << SUB_BITS_I16 for side in pairs(how, a, c))
    difference = requantise(left, sides.a_multiplier, sides.a_shift) - requantise(right, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(requantise(difference, total.multiplier, total.shift), total.y_min, total.y_max)
