"""A ring of samples as operators of a graph; entries are elements here, not bytes."""

from __future__ import annotations

from edgeff.kernels.graph.arithmetic import draws, mix, step_key
from edgeff.kernels.graph.operand import Operand


def _share(drawn: Operand, count: Operand) -> Operand:
    """The words ``drawn`` as numbers below ``count`` (int64, at most 2**32): int64."""
    words = drawn.cast("int64")
    return ((words >> 16) * count + ((words & 0xFFFF) * count >> 16)) >> 16


def eff_ring_place(count: Operand, entries: int, spread: int, key: int) -> tuple[Operand, Operand]:
    """The entry that a new sample takes, -1 for none, and the count after it."""
    before = count.cast("int64")
    if spread:
        drawn = _share(draws(count.of(key), before), before + 1)
        slot = before.where(before < entries, drawn.where(drawn < entries, -1))
        return slot, (before + 1).clip(0, 0xFFFFFFFF).cast("uint32")
    after = before.of(entries).where((before + 1).equals(2 * entries), before + 1)
    return before % entries, (after & 0xFFFFFFFF).cast("uint32")


def eff_ring_write(ring: Operand, x: Operand, slot: Operand, entries: int, n_bytes: int) -> Operand:
    """The entry ``slot`` of the ring = x; nothing for slot -1."""
    chosen = ring.nodes.counter(entries).equals(slot).reshape(entries, 1)
    return x.reshape(1, -1).where(chosen, ring.reshape(entries, -1))


def eff_ring_draw(count: Operand, step: Operand, entries: int, key: int) -> Operand:
    """One of the filled entries, drawn; 0 where none is filled."""
    return _share(mix(step_key(key, step)), count.cast("int64").clip(0, entries))


def eff_ring_read(ring: Operand, slot: Operand, entries: int, n_bytes: int) -> Operand:
    """The entry ``slot`` of the ring."""
    return ring.reshape(entries, -1).take(slot)
