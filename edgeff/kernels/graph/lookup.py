"""A table as an operator of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand


def eff_lookup_i8(x: Operand, table: Operand, n: int) -> Operand:
    """y = table[x + 128]."""
    return table.take(x + 128)


def eff_slope_i8(delta: Operand, x: Operand, table: Operand, n: int) -> Operand:
    """d = delta table[x + 128] 2**-15, rounded to nearest."""
    return (delta * table.take(x + 128) + (1 << 14)) >> 15
