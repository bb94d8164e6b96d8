"""The smaller of two activations as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.broadcast import pairs
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Broadcast

REFUSED = NO_INT16


def eff_minimum_f32(a: Operand, c: Operand, how: Broadcast) -> Operand:
    """y = a where a < c, else c."""
    left, right = pairs(how, a, c)
    return left.where(left < right, right)


eff_minimum_i8 = eff_minimum_f32
