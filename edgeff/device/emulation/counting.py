"""The code that an emulated core ran: edges between blocks with their counts, in Python and in ``counting.c``'s memory layout.

An edge is a block of straight-line code, the block that followed, and the call (segment) during which that happened. Blocks give the number
of instructions that ran, edges the branches that were taken.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeff.errors import EdgeffError
from edgeff.ir import Array

SOURCE = Path(__file__).with_name("counting.c")
SLOTS = 1 << 17
EDGE = np.dtype([("count", "u8"), ("start", "u4"), ("size_bytes", "u4"), ("to", "u4"), ("segment", "u4")])
"""``edge_t`` of counting.c."""
_WORDS = ("body_start", "body_end", "previous", "previous_size", "segment", "calls", "used", "mask", "overflow")


class State(ctypes.Structure):
    """``counter_t`` of counting.c."""

    _fields_ = (*((name, ctypes.c_uint32) for name in _WORDS), ("edges", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class Edge:
    """``count`` times the block at ``start`` of ``size_bytes`` was followed by the one at ``to`` during call ``segment``."""

    segment: int
    start: int
    size_bytes: int
    to: int
    count: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The edges of one run of a body of calls, sorted, so that equal runs compare equal; ``calls`` is the number of calls it made."""

    edges: tuple[Edge, ...]
    calls: int


def counted(state: State, slots: Array, stop: int) -> Counted:
    """The edges counted by the counter in C for a body that returned to ``stop``.

    Raises EdgeffError if there were more different edges than slots.
    """
    if state.overflow:
        raise EdgeffError("too many different blocks to count", got=f"more than {SLOTS // 2}", allowed="a smaller program")
    fields = ("segment", "start", "size_bytes", "to", "count")
    edges = (Edge(*(int(slot[field]) for field in fields)) for slot in slots[slots["count"] > 0])
    last = Edge(state.segment, state.previous, state.previous_size, stop, 1) if state.previous_size else None
    return whole(edges, last, int(state.calls))


def whole(edges: Iterable[Edge], last: Edge | None, calls: int) -> Counted:
    """The edges plus the one out of the last block: a run stops before the block that would have recorded it."""
    known = [*edges, last] if last else [*edges]
    return Counted(tuple(sorted(known, key=lambda edge: (edge.segment, edge.start, edge.size_bytes, edge.to))), calls)
