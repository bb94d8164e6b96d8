"""Two tensors one after the other along an axis, as an operator of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.operand import Operand, concat

REFUSED = NO_INT16


def eff_concat_f32(a: Operand, c: Operand, rows: int, a_n: int, c_n: int) -> Operand:
    """Each row: that of a, then that of c."""
    return concat([a.reshape(rows, a_n), c.reshape(rows, c_n)], axis=1)


eff_concat_i8 = eff_concat_f32
