"""One over the square root as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand

LEAST = 2.0**-40


def _inverse(x: Operand) -> Operand:
    return 1 / x.where(x > LEAST, LEAST).sqrt()


def eff_rsqrt_f32(x: Operand, n: int) -> Operand:
    """y = 1 / sqrt(x)."""
    return _inverse(x)


def eff_rsqrt_slope_f32(delta: Operand, x: Operand, n: int) -> Operand:
    """d = delta times the derivative at x."""
    y = _inverse(x)
    return (delta * (((y * -0.5) * y) * y)).where(x > LEAST, 0)
