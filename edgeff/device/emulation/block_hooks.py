"""Counts the code that the emulator Unicorn runs: a body of calls comes in, counted edges between blocks go out.

The hook is ``counting.c``, compiled once per process by the host's compiler; ``PythonCounter`` counts the same without a compiler, at
a tenth of the speed (5 million instructions per second).

Only blocks are hooked: the emulator's hooks on memory corrupt code inside an IT block, and its hooks on instructions miss those an IT
skips.
"""

from __future__ import annotations

import ctypes
import functools
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from unicorn.unicorn_const import UC_ERR_OK, UC_HOOK_BLOCK
from unicorn.unicorn_py3.unicorn import Uc, uclib

from edgeff.device.emulation.counting import EDGE, SLOTS, SOURCE, Counted, Edge, State, counted, whole
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import EdgeffError, MissingTool


class Counter(Protocol):
    """A block hook that counts edges while it is attached."""

    def attach(self, emulator: Uc) -> None:
        """Starts counting."""

    def detach(self, emulator: Uc) -> None:
        """Stops counting."""

    def counted(self) -> Counted:
        """The counted edges."""


def counter(body_start: int, body_end: int, stop: int) -> Counter:
    """A counter for the calls of the function from ``body_start`` to ``body_end``, which returns to ``stop``."""
    try:
        return NativeCounter(body_start, body_end, stop)
    except MissingTool:
        return PythonCounter(body_start, body_end, stop)


class NativeCounter:
    """The counter in C. Raises MissingTool without a C compiler."""

    def __init__(self, body_start: int, body_end: int, stop: int) -> None:
        self._function = ctypes.cast(_library().eff_count_block, ctypes.c_void_p)
        self._slots = np.zeros(SLOTS, EDGE)
        self._state = State(body_start=body_start, body_end=body_end, mask=SLOTS - 1, edges=self._slots.ctypes.data)
        self._stop = stop
        self._handle = ctypes.c_size_t()

    def attach(self, emulator: Uc) -> None:
        """Starts counting."""
        everywhere = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        status = uclib.uc_hook_add(
            emulator._uch,  # the binding offers no public way to use a C function as a hook
            ctypes.byref(self._handle),
            UC_HOOK_BLOCK,
            self._function,
            ctypes.addressof(self._state),
            *everywhere,
        )
        if status != UC_ERR_OK:
            raise EdgeffError("the emulator refused a block hook", got=f"error {status}")

    def detach(self, emulator: Uc) -> None:
        """Stops counting."""
        uclib.uc_hook_del(emulator._uch, self._handle)

    def counted(self) -> Counted:
        """The counted edges. Raises EdgeffError if there were more different edges than slots."""
        return counted(self._state, self._slots, self._stop)


class PythonCounter:
    """The counter in Python: the definition of what the one in C counts."""

    def __init__(self, body_start: int, body_end: int, stop: int) -> None:
        self._body = range(body_start, body_end)
        self._stop = stop
        self._counts: dict[tuple[int, int, int, int], int] = {}
        self._previous = self._previous_size = self._segment = self._calls = self._handle = 0

    def attach(self, emulator: Uc) -> None:
        """Starts counting."""
        self._handle = emulator.hook_add(UC_HOOK_BLOCK, self._count)

    def detach(self, emulator: Uc) -> None:
        """Stops counting."""
        emulator.hook_del(self._handle)

    def counted(self) -> Counted:
        """The counted edges."""
        last = Edge(self._segment, self._previous, self._previous_size, self._stop, 1) if self._previous_size else None
        return whole((Edge(*key, count) for key, count in self._counts.items()), last, self._calls)

    def _count(self, _emulator: Uc, address: int, size_bytes: int, _data: Any) -> None:
        if self._previous_size:
            key = (self._segment, self._previous, self._previous_size, address)
            self._counts[key] = self._counts.get(key, 0) + 1
        if address in self._body:
            self._segment = self._calls
        elif self._previous in self._body:
            self._calls += 1
        self._previous, self._previous_size = address, size_bytes


@functools.cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="edgeff-") as folder:
        library = Path(folder) / "counting.so"
        host_shared_library([SOURCE], SOURCE.parent, library)
        return ctypes.CDLL(str(library))
