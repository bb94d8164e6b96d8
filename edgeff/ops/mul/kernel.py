"""The product of two activations."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.broadcast import LeftF32, LeftI8, LeftI16, OutOfBothF32, OutOfBothI8, OutOfBothI16, RightF32, RightI8, RightI16, pairs
from edgeff.kernels.records import Broadcast, Relu, Rescale, RescaleWide, Zero


@kernel()
def eff_mul_f32(y: OutOfBothF32, a: LeftF32, c: RightF32, how: Broadcast, relu: Relu) -> None:
    """y = a * c, then the activation."""
    left, right = pairs(how, a, c)
    y[:] = activate(left * right, relu)


@kernel()
def eff_mul_i8(y: OutOfBothI8, a: LeftI8, c: RightI8, how: Broadcast, scale: Rescale, c_zero: Zero) -> None:
    """TFLite's int8 MUL: the product of both sides without their zero points (x_zero is that of a), rescaled to the output."""
    left, right = (side.astype(np.int64) for side in pairs(how, a, c))
    steps = requantise((left - scale.x_zero) * (right - c_zero), scale.multiplier, scale.shift)
    y[:] = np.clip(steps + scale.y_zero, scale.y_min, scale.y_max)


@kernel()
def eff_mul_i16(y: OutOfBothI16, a: LeftI16, c: RightI16, how: Broadcast, scale: RescaleWide) -> None:
    """TFLite's int16 MUL: the product of both sides, whose zero points are 0, rescaled to the output."""
    left, right = (side.astype(np.int64) for side in pairs(how, a, c))
    y[:] = np.clip(requantise(left * right, scale.multiplier, scale.shift), scale.y_min, scale.y_max)
