"""The parametric ReLU as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import requantise
from edgeff.kernels.graph.broadcast import pairs
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Broadcast, Requant


def eff_prelu_f32(a: Operand, c: Operand, how: Broadcast) -> Operand:
    """y = a where a >= 0, else a * c."""
    left, right = pairs(how, a, c)
    return left.where(left >= 0, left * right)


def eff_prelu_i8(a: Operand, c: Operand, how: Broadcast, above: Requant, below: Requant, a_zero: int, c_zero: int, y_zero: int) -> Operand:
    """Each side of zero by its own factor."""
    left, right = pairs(how, a, c)
    x = left - a_zero
    scaled = requantise(x, above.multiplier, above.shift)
    below_zero = requantise(x * (right - c_zero), below.multiplier, below.shift)
    return (scaled.where(x >= 0, below_zero).clip(-1024, 1024) + y_zero).clip(-128, 127)
