"""Looks at memory between the calls that an emulated core makes: the function that makes them comes in, what each call left goes out.

The firmware is the one that is measured and shipped: nothing is added to it. The core is watched where the calling function goes on behind
a block that ended in a call (BL or BLX), by a block hook on that function alone, so the kernels run at full speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from unicorn import unicorn_const
from unicorn.unicorn_py3.unicorn import Uc

from edgeff.device.cores.model import decode
from edgeff.device.toolchains.elf import Symbol
from edgeff.errors import CheckFailed

Places = Sequence[Sequence[tuple[int, int]]]
"""For each call in turn, what to look at: (address, bytes)."""
CALLS = ("bl", "blx")


class CallTrace:
    """Looks at the ``places`` of each call of the function ``body`` when the call has returned, from now on whenever it runs."""

    def __init__(self, emulator: Uc, body: Symbol, places: Places) -> None:
        self._emulator, self._body, self._places = emulator, body, places
        self._seen: list[list[bytes]] = []
        self._returns = 0
        self._behind_call: int | None = None
        emulator.ctl_flush_tb()
        emulator.hook_add(unicorn_const.UC_HOOK_BLOCK, self._on_block, None, body.address, body.address + body.size_bytes - 1)

    def run(self, command: Callable[[], int]) -> tuple[int, list[list[bytes]]]:
        """What ``command`` gives, which runs the function once, and what lay at the places of each call.

        Raises CheckFailed when the function makes another number of calls.
        """
        self._seen, self._returns, self._behind_call = [], 0, None
        answer = command()
        if self._returns == len(self._places) - 1:  # the last call was a jump, which returns past the function
            self._look()
        if self._returns != len(self._places):
            raise CheckFailed("calls in the firmware", got=self._returns, allowed=f"{len(self._places)}, as in the program")
        return answer, self._seen

    def _on_block(self, _emulator: Uc, address: int, size_bytes: int, _data: Any) -> None:
        if address == self._behind_call:
            self._look()
        self._behind_call = address + size_bytes if _ends_in_call(self._read(address, size_bytes), address) else None

    def _look(self) -> None:
        if self._returns < len(self._places):
            self._seen.append([self._read(*place) for place in self._places[self._returns]])
        self._returns += 1

    def _read(self, address: int, size_bytes: int) -> bytes:
        return bytes(self._emulator.mem_read(address, size_bytes))


@lru_cache(maxsize=4096)
def _ends_in_call(code: bytes, address: int) -> bool:
    return decode(code, address)[-1].name in CALLS
