"""The absolute value as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand


def eff_abs_f32(x: Operand, n: int) -> Operand:
    """y = |x|."""
    return x.where(x > 0, 0 - x)


def eff_abs_slope_f32(delta: Operand, x: Operand, n: int) -> Operand:
    """d = delta times the sign of x."""
    return delta.where(x > 0, (0 - delta).where(x < 0, 0))
