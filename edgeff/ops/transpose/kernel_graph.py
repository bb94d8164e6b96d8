"""The axes in another order, as an operator of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand
from edgeff.ops.transpose.kernel import Axes


def eff_transpose_f32(x: Operand, axes: Axes) -> Operand:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    return x.reshape(axes.d0, axes.d1, axes.d2).transpose(axes.p0, axes.p1, axes.p2)


eff_transpose_i8 = eff_transpose_i16 = eff_transpose_f32
