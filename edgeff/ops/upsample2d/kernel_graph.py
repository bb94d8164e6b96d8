"""An image in more pixels as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.operand import Operand
from edgeff.ops.upsample2d.kernel import MorePixels, origins

REFUSED = NO_INT16


def eff_upsample2d_f32(x: Operand, how: MorePixels, value: float) -> Operand:
    """The elements of x, and one more that is ``value``, where they go."""
    return x.flat().pad([0], [1], value).take(x.nodes.constant(origins(how)))


eff_upsample2d_i8 = eff_upsample2d_f32
