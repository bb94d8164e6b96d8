"""Counts what an emulated core runs: a body function comes in, edges between blocks with their counts go out.

An edge is a block of straight-line code, the block that followed, and the call (segment) in whose course that happened. Blocks say how
many instructions ran, edges which branches were taken. The hook is ``counting.c``, compiled once a process by the host's compiler;
``PythonCounter`` counts the same where there is no compiler, at a tenth of the speed (5 million instructions a second).

Hooks on blocks alone: the emulator's hooks on memory corrupt code inside an IT block, and its hooks on instructions miss those an IT skips.
"""

from __future__ import annotations

import ctypes
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from unicorn.unicorn_const import UC_ERR_OK, UC_HOOK_BLOCK
from unicorn.unicorn_py3.unicorn import Uc, uclib

from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import EdgeffError, MissingTool

_SLOTS = 1 << 17


@dataclass(frozen=True, slots=True)
class Edge:
    """``count`` times the block at ``start`` of ``size_bytes`` was followed by the one at ``to`` in the course of call ``segment``."""

    segment: int
    start: int
    size_bytes: int
    to: int
    count: int


class Counter(Protocol):
    """A block hook that counts edges from when it is attached until it is detached."""

    def attach(self, emulator: Uc) -> None:
        """Starts to count."""

    def detach(self, emulator: Uc) -> None:
        """Stops to count."""

    def edges(self) -> list[Edge]:
        """What was counted, sorted, so that equal runs give equal lists."""

    @property
    def calls(self) -> int:
        """How many times the body was left for a call."""


def counter(body_start: int, body_end: int, stop: int) -> Counter:
    """A counter for the calls of the function from ``body_start`` to ``body_end``, which returns to ``stop``."""
    try:
        return NativeCounter(body_start, body_end, stop)
    except MissingTool:
        return PythonCounter(body_start, body_end, stop)


_FIELDS = ("segment", "start", "size_bytes", "to", "count")
# The structures of counting.c.
_EDGE = np.dtype([("count", "u8"), ("start", "u4"), ("size_bytes", "u4"), ("to", "u4"), ("segment", "u4")])
_COUNTER_WORDS = ("body_start", "body_end", "previous", "previous_size", "segment", "calls", "used", "mask", "overflow")


class _State(ctypes.Structure):
    _fields_ = (*((name, ctypes.c_uint32) for name in _COUNTER_WORDS), ("edges", ctypes.c_void_p))


class NativeCounter:
    """The counter in C. Raises MissingTool when there is no C compiler."""

    def __init__(self, body_start: int, body_end: int, stop: int) -> None:
        self._function = ctypes.cast(_library().eff_count_block, ctypes.c_void_p)
        self._slots = np.zeros(_SLOTS, _EDGE)
        self._state = _State(body_start=body_start, body_end=body_end, mask=_SLOTS - 1, edges=self._slots.ctypes.data)
        self._stop = stop
        self._handle = ctypes.c_size_t()

    def attach(self, emulator: Uc) -> None:
        """Starts to count."""
        everywhere = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        status = uclib.uc_hook_add(
            emulator._uch,  # the binding offers no public way to make a function in C a hook
            ctypes.byref(self._handle),
            UC_HOOK_BLOCK,
            self._function,
            ctypes.addressof(self._state),
            *everywhere,
        )
        if status != UC_ERR_OK:
            raise EdgeffError("the emulator refused a block hook", got=f"error {status}")

    def detach(self, emulator: Uc) -> None:
        """Stops to count."""
        uclib.uc_hook_del(emulator._uch, self._handle)

    def edges(self) -> list[Edge]:
        """What was counted. Raises EdgeffError when there were more kinds of edges than slots."""
        if self._state.overflow:
            raise EdgeffError("too many different blocks to count", got=f"more than {_SLOTS // 2}", allowed="a smaller program")
        found = [Edge(*(int(e[field]) for field in _FIELDS)) for e in self._slots[self._slots["count"] > 0]]
        return _whole(found, self._state.segment, self._state.previous, self._state.previous_size, self._stop)

    @property
    def calls(self) -> int:
        """How many times the body was left for a call."""
        return int(self._state.calls)


class PythonCounter:
    """The counter in Python: the definition of what the one in C counts."""

    def __init__(self, body_start: int, body_end: int, stop: int) -> None:
        self._body = range(body_start, body_end)
        self._stop = stop
        self._counts: dict[tuple[int, int, int, int], int] = {}
        self._previous = self._previous_size = self._segment = self._calls = self._handle = 0

    def attach(self, emulator: Uc) -> None:
        """Starts to count."""
        self._handle = emulator.hook_add(UC_HOOK_BLOCK, self._count)

    def detach(self, emulator: Uc) -> None:
        """Stops to count."""
        emulator.hook_del(self._handle)

    def edges(self) -> list[Edge]:
        """What was counted."""
        found = [Edge(*key, count) for key, count in self._counts.items()]
        return _whole(found, self._segment, self._previous, self._previous_size, self._stop)

    @property
    def calls(self) -> int:
        """How many times the body was left for a call."""
        return self._calls

    def _count(self, _emulator: Uc, address: int, size_bytes: int, _data: Any) -> None:
        if self._previous_size:
            key = (self._segment, self._previous, self._previous_size, address)
            self._counts[key] = self._counts.get(key, 0) + 1
        if address in self._body:
            self._segment = self._calls
        elif self._previous in self._body:
            self._calls += 1
        self._previous, self._previous_size = address, size_bytes


def _whole(found: list[Edge], segment: int, previous: int, previous_size: int, stop: int) -> list[Edge]:
    """The edges, sorted, with the one out of the last block: the emulator stops before the block that would have told of it."""
    last = [Edge(segment, previous, previous_size, stop, 1)] if previous_size else []
    return sorted([*found, *last], key=lambda edge: (edge.segment, edge.start, edge.size_bytes, edge.to))


@functools.cache
def _library() -> ctypes.CDLL:
    source = Path(__file__).with_name("counting.c")
    with tempfile.TemporaryDirectory(prefix="edgeff-") as folder:
        library = Path(folder) / "counting.so"
        host_shared_library([source], source.parent, library)
        return ctypes.CDLL(str(library))
