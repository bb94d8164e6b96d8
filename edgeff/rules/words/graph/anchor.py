"""Parameters drawn back to their exported values as operators of a graph."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import draws, rate_of, step_key
from edgeff.kernels.graph.operand import Operand
from edgeff.rules.words.anchor import FRACTION


def _changed(w: Operand, change: Operand, step: Operand, n: int, turn_bits: int) -> Operand:
    """w with the change in the elements whose turn it is."""
    part = -(-n >> turn_bits)
    turn = (step & ((1 << turn_bits) - 1)).cast("int64")
    return (w + change).where((w.nodes.counter(n) // part).equals(turn), w)


def eff_anchor_f32(w: Operand, exported: Operand, rate: Operand, step: Operand, n: int, turn_bits: int, share: float) -> Operand:
    """w + (rate / 2**16) share (exported - w) in their turn."""
    w, exported = w.flat(), exported.flat()
    return _changed(w, rate_of(rate, share) * (exported - w), step, n, turn_bits)


def eff_anchor_i8(w: Operand, exported: Operand, rate: Operand, step: Operand, n: int, turn_bits: int, share: int, key: int) -> Operand:
    """w + (share rate (exported - w) + r) >> 31 in their turn."""
    w, exported = w.flat(), exported.flat()
    drawn = (draws(step_key(key, step), w.nodes.counter(n)) >> 1).cast("int64")
    gain = rate.cast("int64").within(0, 1 << 16) * share
    return _changed(w, (gain * (exported - w) + drawn) >> FRACTION, step, n, turn_bits)


eff_anchor_i16 = eff_anchor_i8
eff_anchor_i32 = eff_anchor_i8
