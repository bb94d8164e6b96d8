"""The hard swish as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand


def eff_hard_swish_f32(x: Operand, n: int) -> Operand:
    """y = x min(max(x + 3, 0), 6) / 6."""
    return x * ((x + 3).clip(0, 6) / 6)


def eff_hard_swish_slope_f32(delta: Operand, x: Operand, n: int) -> Operand:
    """d = delta times the derivative at x."""
    near = x.clip(-3, 3)
    between = delta * ((near + near + 3) / 6)
    return delta.where(x >= 3, between).where(x > -3, 0)
