"""y = (x - mean x) / sqrt(variance x + eps) as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import saturate16
from edgeff.kernels.graph.operand import Operand


def eff_standardise_f32(x: Operand, n: int, eps: float) -> Operand:
    """A variance below the normal numbers counts as 0."""
    centred = x - x.sum() / n
    spread = (centred * centred).sum() / n + eps
    return centred / spread.where(spread >= 2.0**-126, 0).sqrt()


def eff_standardise_i8(x: Operand, n: int, y_zero: int, gain: int) -> Operand:
    """Mean and deviation in units of 2**-8 input steps."""
    u = x + 128
    total, squares = u.sum(), (u * u).sum()
    factor = gain // ((((squares * n - total * total) * (1 << 16)) // (n * n)).isqrt() + 1)
    centred = u * 256 - (total * 256 + n // 2) // n
    return (((centred * factor + (1 << 23)) >> 24) + y_zero).clip(-128, 127)


def eff_standardise_i16(x: Operand, n: int, gain: int) -> Operand:
    """Mean and deviation in input steps."""
    u = x + 32768
    total, squares = u.sum(), (u * u).sum()
    factor = gain // (((squares * n - total * total) // (n * n)).isqrt() + 1)
    return saturate16(((u - (total + n // 2) // n) * factor + 0x8000) >> 16)
