"""The logistic function as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.operand import Operand

REFUSED = NO_INT16


def eff_logistic_f32(x: Operand, n: int) -> Operand:
    """y = 1 / (1 + exp(-x))."""
    return x.unary("Sigmoid")


def eff_logistic_slope_f32(delta: Operand, x: Operand, n: int) -> Operand:
    """d = delta times the derivative at x."""
    power = (-x.abs()).exp()
    share = 1 / (power + 1)
    return delta * ((power * share) * share)
