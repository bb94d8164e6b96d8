"""A ring of samples in RAM: which entry a new one takes, which one is drawn, and copies in and out.

``count`` is the number of samples so far, and so gives the number of filled entries. A ring keeps the last samples, or a sample of
all samples so far, each with the same probability (reservoir sampling; Vitter 1985, algorithm R).
"""

from __future__ import annotations

from typing import Annotated

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import draws, step_key
from edgeff.kernels.records import Flag, Key, Range, Size
from edgeff.kernels.tensors import OneI32, StepCount

Entries = Annotated[int, Range(1, 1 << 30)]
Count = Annotated[Array, Out("uint32_t", "1", also_read=True)]
Bytes = Annotated[Array, In("void", "n_bytes")]
OutBytes = Annotated[Array, Out("void", "n_bytes")]


@kernel()
def eff_ring_place(slot: OneI32, count: Count, entries: Entries, spread: Flag, key: Key) -> None:
    """slot = the entry that a new sample takes, -1 for none: the next one in the ring, or with ``spread`` one drawn such that each of
    the samples so far is kept with the same probability. count += 1, without wrapping below ``entries``.
    """
    before = int(count[0])
    if spread:
        drawn = int(draws(key, before)) * (before + 1) >> 32
        slot[0] = before if before < entries else drawn if drawn < entries else -1
        count[0] = min(before + 1, 0xFFFFFFFF)
        return
    slot[0] = before % entries
    count[0] = entries if before + 1 == 2 * entries else (before + 1) & 0xFFFFFFFF


@kernel()
def eff_ring_write(
    ring: Annotated[Array, Out("void", "entries", "n_bytes", also_read=True)],
    x: Bytes,
    slot: Annotated[Array, In("int32_t", "1", low=-1, high="entries - 1")],
    entries: Entries,
    n_bytes: Size,
) -> None:
    """The entry ``slot`` of the ring = x, as raw bytes; nothing for slot -1."""
    if slot[0] >= 0:
        ring.reshape(entries, -1)[slot[0]] = x


@kernel()
def eff_ring_draw(slot: OneI32, count: Annotated[Array, In("uint32_t", "1")], step: StepCount, entries: Entries, key: Key) -> None:
    """slot = one of the filled entries, with equal probability, drawn from the stream ``key`` at this step; 0 if none is filled."""
    slot[0] = int(draws(step_key(key, int(step[0])), 0)) * min(int(count[0]), entries) >> 32


@kernel()
def eff_ring_read(
    y: OutBytes,
    ring: Annotated[Array, In("void", "entries", "n_bytes")],
    slot: Annotated[Array, In("int32_t", "1", low=0, high="entries - 1")],
    entries: Entries,
    n_bytes: Size,
) -> None:
    """y = the entry ``slot`` of the ring, as raw bytes."""
    y[:] = ring.reshape(entries, -1)[slot[0]]
