"""The difference of two activations."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.broadcast import LeftF32, LeftI8, OutOfBothF32, OutOfBothI8, RightF32, RightI8, pairs
from edgeff.kernels.records import Broadcast, Relu, Rescale, Sides

SUB_BITS = 20


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
