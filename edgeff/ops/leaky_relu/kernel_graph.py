"""The leaky ReLU as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.operand import Operand

REFUSED = NO_INT16


def eff_leaky_relu_f32(x: Operand, n: int, alpha: float) -> Operand:
    """y = x where x > 0, else alpha x."""
    return x.where(x > 0, x * alpha)


def eff_leaky_relu_slope_f32(delta: Operand, x: Operand, n: int, alpha: float) -> Operand:
    """d = delta where x > 0, else alpha delta."""
    return delta.where(x > 0, delta * alpha)
