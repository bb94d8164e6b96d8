"""Targets: what runs the generated C, each with the protocol ``Target``. One target per file, found by ``registry.targets``.

Targets from other distributions are found through the entry point group ``edgeff.targets``, those of a folder through
``EDGEFF_PLUGIN_DIR``. A target that runs the firmware of boards derives from ``edgeff.device.mailbox.FirmwareTarget``; boards list the
targets that can run them.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeVar

from edgeff.device.emulation.counting import Counted
from edgeff.registry import targets

__all__ = ["Counters", "Target", "register"]

T = TypeVar("T", bound="type[Target]")


class Counters(Protocol):
    """The instruction counter of a target."""

    def count(self, line: str, argument: int = 0) -> Counted:
        """As ``Target.call``, and counts the kernel calls of the line."""


class Target(Protocol):
    """A loaded model and what runs it. The class decides how it is loaded: from a firmware, or from a program."""

    name: ClassVar[str]
    """The name by which boards list it."""
    summary: ClassVar[str]
    """A description in one line."""

    def call(self, line: str, argument: int = 0) -> int:
        """Runs one line of the model (predict, learn, ...) on the data written; returns its result."""

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """Memory, starting at an address or a symbol. Raises BadInput if there is none."""

    def write(self, place: int | str, content: bytes) -> None:
        """Writes memory, starting at an address or a symbol. Raises BadInput if there is none."""

    @property
    def counters(self) -> Counters | None:
        """The counter of calls; None for a target that does not count."""


def register(target: T) -> T:
    """Registers ``target``, a class, under its name and returns it."""
    return targets.add(target.name, target)
