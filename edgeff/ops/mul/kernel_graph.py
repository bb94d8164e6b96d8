"""The product of two activations as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, requantise
from edgeff.kernels.graph.broadcast import pairs
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Broadcast, Rescale

REFUSED = NO_INT16


def eff_mul_f32(a: Operand, c: Operand, how: Broadcast, relu: int) -> Operand:
    """y = a * c, then the activation."""
    left, right = pairs(how, a, c)
    return activate(left * right, relu)


def eff_mul_i8(a: Operand, c: Operand, how: Broadcast, scale: Rescale, c_zero: int) -> Operand:
    """The product without zero points, rescaled to the output."""
    left, right = pairs(how, a, c)
    return (requantise((left - scale.x_zero) * (right - c_zero), scale.multiplier, scale.shift) + scale.y_zero).clip(
        scale.y_min, scale.y_max
    )
