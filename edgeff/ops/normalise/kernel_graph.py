"""y = x / rms(x) as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import saturate16
from edgeff.kernels.graph.operand import Operand


def eff_normalise_f32(x: Operand, n: int, eps: float) -> Operand:
    """A mean below the normal numbers counts as 0."""
    mean = (x * x).sum() / n
    return x / (mean.where(mean >= 2.0**-126, 0).sqrt() + eps)


def eff_normalise_i8(x: Operand, n: int, x_zero: int, y_zero: int, gain: int) -> Operand:
    """The root mean square in units of 2**-8 input steps, plus one."""
    centred = x - x_zero
    length = (((centred * centred).sum() * (1 << 16)) // n).isqrt()
    return (_normalised(centred, length, gain).clip(-1024, 1024) + y_zero).clip(-128, 127)


def eff_normalise_i16(x: Operand, n: int, gain: int) -> Operand:
    """The root mean square in input steps, plus one."""
    return saturate16(_normalised(x, ((x * x).sum() // n).isqrt(), gain))


def _normalised(centred: Operand, length: Operand, gain: int) -> Operand:
    return (centred * (gain // (length + 1)) + 0x8000) >> 16
