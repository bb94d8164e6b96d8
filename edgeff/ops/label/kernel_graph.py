"""Labels written into the input, as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import one_hot
from edgeff.kernels.graph.operand import Operand, concat
from edgeff.ops.label.kernel import LabelF32


def eff_embed_label_f32(x: Operand, label: Operand, entries: LabelF32) -> Operand:
    """y (places, classes + n): at each place the label's entries, then x."""
    written = x.of(entries.on).where(one_hot(label, entries.classes), entries.off)
    every = x.of(entries.neutral).where(label < 0, written)
    return concat([every.reshape(1, -1).expand(entries.places, entries.classes), x.reshape(entries.places, entries.n)], axis=1)


eff_embed_label_i8 = eff_embed_label_i16 = eff_embed_label_f32
