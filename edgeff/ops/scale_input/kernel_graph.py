"""(x - mean) factor as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand


def eff_scale_input_f32(x: Operand, mean: Operand, factor: Operand, rows: int, channels: int) -> Operand:
    """Channel by channel."""
    return ((x.reshape(rows, channels) - mean.reshape(1, channels)) * factor.reshape(1, channels)).reshape(rows * channels)
