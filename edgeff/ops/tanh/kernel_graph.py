"""The hyperbolic tangent as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.operand import Operand

REFUSED = NO_INT16


def eff_tanh_f32(x: Operand, n: int) -> Operand:
    """y = tanh(x)."""
    return x.unary("Tanh")


def eff_tanh_slope_f32(delta: Operand, x: Operand, n: int) -> Operand:
    """d = delta times the derivative at x."""
    size = x.abs()
    power = (-(size + size)).exp()
    share = 1 / (power + 1)
    return delta * (((power * share) * share) * 4)
