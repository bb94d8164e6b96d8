"""The difference of two activations as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import activate, requantise
from edgeff.kernels.graph.broadcast import pairs
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Broadcast, Rescale, Sides
from edgeff.ops.sub.kernel import SUB_BITS

REFUSED = NO_INT16


def eff_sub_f32(a: Operand, c: Operand, how: Broadcast, relu: int) -> Operand:
    """y = a - c, then the activation."""
    left, right = pairs(how, a, c)
    return activate(left - right, relu)


def eff_sub_i8(a: Operand, c: Operand, how: Broadcast, sides: Sides, total: Rescale) -> Operand:
    """Both sides times 2**20 and rescaled, subtracted, rescaled to the output."""
    left, right = pairs(how, a, c)
    left = requantise((left - sides.a_zero) * (1 << SUB_BITS), sides.a_multiplier, sides.a_shift)
    right = requantise((right - sides.c_zero) * (1 << SUB_BITS), sides.c_multiplier, sides.c_shift)
    return (requantise(left - right, total.multiplier, total.shift) + total.y_zero).clip(total.y_min, total.y_max)
