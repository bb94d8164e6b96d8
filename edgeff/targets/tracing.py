"""Looks at memory between the calls that an emulated core makes: the function that makes them comes in, what each call left goes out.

The firmware is the one that is measured and shipped: nothing is added to it. The core is watched where the calling function goes on behind
a block that ended in a call (BL or BLX), by a block hook on that function alone, so the kernels run at full speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unicorn import unicorn_const
from unicorn.unicorn_py3.unicorn import Uc

from edgeff.cycles.model import decode
from edgeff.errors import CheckFailed
from edgeff.toolchains.elf import Symbol

Places = Sequence[Sequence[tuple[int, int]]]
"""For each call in turn, what to look at: (address, bytes)."""
CALLS = ("bl", "blx")


class CallTrace:
    """What lies at the ``places`` of each call of the function ``body`` when the call has returned; ``seen`` after ``run``."""

    def __init__(self, emulator: Uc, body: Symbol, places: Places) -> None:
        self.seen: list[list[bytes]] = []
        self._emulator, self._body, self._places = emulator, body, places
        self._returns = 0
        self._behind_call: int | None = None

    def run(self, command: Callable[[], int]) -> int:
        """What ``command`` gives, which runs the function once. Raises CheckFailed when it makes another number of calls."""
        first, last = self._body.address, self._body.address + self._body.size_bytes - 1
        self._emulator.ctl_flush_tb()
        hook = self._emulator.hook_add(unicorn_const.UC_HOOK_BLOCK, self._on_block, None, first, last)
        try:
            answer = command()
        finally:
            self._emulator.hook_del(hook)
            self._emulator.ctl_flush_tb()
        if self._returns == len(self._places) - 1:  # the last call was a jump, which returns past the function
            self._look()
        if self._returns != len(self._places):
            raise CheckFailed("calls in the firmware", got=self._returns, allowed=f"{len(self._places)}, as in the program")
        return answer

    def _on_block(self, _emulator: Uc, address: int, size_bytes: int, _data: Any) -> None:
        if address == self._behind_call:
            self._look()
        called = decode(self._read(address, size_bytes), address)[-1].name in CALLS
        self._behind_call = address + size_bytes if called else None

    def _look(self) -> None:
        if self._returns < len(self._places):
            self.seen.append([self._read(*place) for place in self._places[self._returns]])
        self._returns += 1

    def _read(self, address: int, size_bytes: int) -> bytes:
        return bytes(self._emulator.mem_read(address, size_bytes))
