"""The best class as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand


def eff_argmax_f32(x: Operand, n: int) -> Operand:
    """The index of the first largest value."""
    return x.argmax()


eff_argmax_i8 = eff_argmax_i16 = eff_argmax_i32 = eff_argmax_f32
