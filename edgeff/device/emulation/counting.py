"""What an emulated core ran: edges between blocks of code with their counts, in Python and as ``counting.c`` has them in memory.

An edge is a block of straight-line code, the block that followed, and the call (segment) in whose course that happened. Blocks say how
many instructions ran, edges which branches were taken.
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
    """``count`` times the block at ``start`` of ``size_bytes`` was followed by the one at ``to`` in the course of call ``segment``."""

    segment: int
    start: int
    size_bytes: int
    to: int
    count: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The edges of one run of a body of calls, sorted, so that equal runs are equal; ``calls`` is how many times it was left for a call."""

    edges: tuple[Edge, ...]
    calls: int


def counted(state: State, slots: Array, stop: int) -> Counted:
    """What the counter in C has counted of a body that returned to ``stop``.

    Raises EdgeffError when there were more kinds of edges than slots.
    """
    if state.overflow:
        raise EdgeffError("too many different blocks to count", got=f"more than {SLOTS // 2}", allowed="a smaller program")
    fields = ("segment", "start", "size_bytes", "to", "count")
    edges = (Edge(*(int(slot[field]) for field in fields)) for slot in slots[slots["count"] > 0])
    last = Edge(state.segment, state.previous, state.previous_size, stop, 1) if state.previous_size else None
    return whole(edges, last, int(state.calls))


def whole(edges: Iterable[Edge], last: Edge | None, calls: int) -> Counted:
    """The edges with the one out of the last block: a run stops before the block that would have told of it."""
    known = [*edges, last] if last else [*edges]
    return Counted(tuple(sorted(known, key=lambda edge: (edge.segment, edge.start, edge.size_bytes, edge.to))), calls)
