"""Int8 values in another scale as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph import NO_INT16
from edgeff.kernels.graph.arithmetic import rescale
from edgeff.kernels.graph.operand import Operand
from edgeff.kernels.records import Rescale

REFUSED = NO_INT16


def eff_rescale_i8(x: Operand, n: int, how: Rescale) -> Operand:
    """int8 values in another scale, within the ends."""
    return rescale(x - how.x_zero, how).clip(how.y_min, how.y_max)
