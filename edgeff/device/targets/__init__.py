"""Targets: what runs the generated C, each behind the protocol ``Target``. One target a file, found by ``registry.targets``.

Targets of other distributions are found through the entry point group ``edgeff.targets``, those of a folder through ``EDGEFF_PLUGIN_DIR``.
A target that runs the firmware of boards derives from ``edgeff.device.mailbox.FirmwareTarget``; boards list the targets they can be had on.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeVar

from edgeff.device.emulation.counting import Counted
from edgeff.registry import targets

__all__ = ["Counters", "Target", "register"]

T = TypeVar("T", bound="type[Target]")


class Counters(Protocol):
    """What counts the instructions of a target."""

    def count(self, line: str, argument: int = 0) -> Counted:
        """As ``Target.call``, and counts the kernel calls of the line."""


class Target(Protocol):
    """A model that is loaded on something that runs it. How it is loaded is up to the class: from a firmware, or from a program."""

    name: ClassVar[str]
    """The name by which boards list it."""
    summary: ClassVar[str]
    """What it is, in one line."""

    def call(self, line: str, argument: int = 0) -> int:
        """Runs one line of the model (predict, learn, ...) on what was written; its result."""

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """Memory from an address or a symbol on. Raises BadInput where there is none."""

    def write(self, place: int | str, content: bytes) -> None:
        """Writes memory from an address or a symbol on. Raises BadInput where there is none."""

    @property
    def counters(self) -> Counters | None:
        """What counts calls; None on a target that does not count."""


def register(target: T) -> T:
    """``target``, a class, from now on found by its name."""
    return targets.add(target.name, target)
