"""A number around a tensor, as an operator of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.operand import Operand
from edgeff.ops.pad.kernel import Around

REFUSED = NO_INT16


def eff_pad_f32(x: Operand, around: Around, value: float) -> Operand:
    """x with ``value`` around it."""
    before = [around.before0, around.before1, around.before2]
    return x.reshape(around.n0, around.n1, around.n2).pad(before, [around.after0, around.after1, around.after2], value)


eff_pad_i8 = eff_pad_f32
