"""Reads memory between the calls of a target: the function that makes them comes in, each call's results go out.

The firmware is the one that is measured and shipped: nothing is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgeff.device.toolchains.elf import Symbol
from edgeff.errors import CheckFailed

Places = Sequence[Sequence[tuple[int, int]]]
"""For each call in turn, what to read: (address, bytes)."""


class Watched(Protocol):
    """A target that can be watched."""

    def watch(self, body: Symbol, look: Callable[[], None]) -> None:
        """From now on ``look`` is called each time a call that the function ``body`` makes has returned."""

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """The current content of memory."""


class CallTrace:
    """Reads the ``places`` of each call of the function ``body`` once the call has returned, whenever it runs from now on."""

    def __init__(self, target: Watched, body: Symbol, places: Places) -> None:
        self._target, self._places = target, places
        self._contents: list[list[bytes]] = []
        self._returns = 0
        target.watch(body, self._look)

    def run(self, command: Callable[[], int]) -> tuple[int, list[list[bytes]]]:
        """The result of ``command``, which runs the function once, and the bytes at the places of each call.

        Raises CheckFailed if the function makes another number of calls.
        """
        self._contents, self._returns = [], 0
        answer = command()
        if self._returns == len(self._places) - 1:  # the last call was a jump, which returns past the function
            self._look()
        if self._returns != len(self._places):
            raise CheckFailed("calls in the firmware", got=self._returns, allowed=f"{len(self._places)}, as in the program")
        return answer, self._contents

    def _look(self) -> None:
        if self._returns < len(self._places):
            self._contents.append([self._target.read(*place) for place in self._places[self._returns]])
        self._returns += 1
