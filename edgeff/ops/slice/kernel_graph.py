"""A part of a tensor as operators of a graph."""

from __future__ import annotations

import numpy as np

from edgeff.kernels.graph.operand import Operand
from edgeff.ops.slice.kernel import Part


def eff_slice_f32(x: Operand, part: Part) -> Operand:
    """The elements of x that ``part`` names."""
    places = np.indices((part.n0, part.n1, part.n2, part.n3)).reshape(4, -1)
    return x.take(x.nodes.constant(part.first + np.array([part.s0, part.s1, part.s2, part.s3], np.int64) @ places))


eff_slice_i8 = eff_slice_i16 = eff_slice_f32
