"""The end of a learning step as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.operand import Operand


def eff_advance(step: Operand, rate: Operand, period: int, factor: int) -> tuple[Operand, Operand]:
    """step += 1, which wraps; after every ``period`` steps rate *= factor / 2**16."""
    after = step + 1
    if not period:
        return after, rate
    less = ((rate.cast("int64") * factor + 0x8000) >> 16).cast("uint32")
    return after, less.where((after % period).equals(0), rate)
