"""The mean of each channel as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import rescale
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Rescale

REFUSED = NO_INT16


def eff_mean_f32(x: Operand, n: int, in_c: int) -> Operand:
    """x (n, in_c) -> y (in_c,)."""
    return x.reshape(n, in_c).sum(0) / n


def eff_mean_i8(x: Operand, n: int, in_c: int, how: Rescale) -> Operand:
    """The sums, requantised once."""
    return rescale((x.reshape(n, in_c) - how.x_zero).sum(0), how).clip(-128, 127)


def eff_mean_input_gradient_f32(delta: Operand, n: int, in_c: int) -> Operand:
    """d (n, in_c): delta / n at every position."""
    return (delta / n).expand(n, in_c)
