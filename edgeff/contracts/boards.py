"""The contract of every board: its file matches the cores, targets and toolchains of this installation."""

from __future__ import annotations

from collections.abc import Sequence

from edgeff.contracts.check import Check, require
from edgeff.device.cores import core_of
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.ir import Board


def can_be_built_for(board: Board) -> None:
    """The toolchains for which it has flags are known."""
    unknown = sorted(board.toolchains.keys() - TOOLCHAINS.keys())
    require(not unknown, f"toolchains of board {board.name}", got=", ".join(unknown), allowed=", ".join(TOOLCHAINS))


def can_be_emulated(board: Board) -> None:
    """Each of its targets emulates its core, or drives it over a serial line; for QEMU a machine is given."""
    allowed = [*core_of(board).emulators, "serial"]
    unknown = sorted(set(board.targets) - {*allowed})
    require(not unknown, f"targets of board {board.name}", got=", ".join(unknown), allowed=", ".join(allowed))
    without = [target for target in board.targets if target == "qemu" and target not in board.machines]
    require(not without, f"board {board.name}", got="target qemu without a machine", allowed="the name of one under [machines]")


def states_its_sources(board: Board) -> None:
    """No value is without a source."""
    empty = [name for name, source in board.sources.items() if not source.strip()]
    require(not empty, f"sources of board {board.name}", got=f"none for {', '.join(empty)}", allowed="a document and its page")


CHECKS: Sequence[Check[Board]] = (
    Check("its toolchains are known", can_be_built_for),
    Check("its targets emulate or reach its core", can_be_emulated),
    Check("every value has a source", states_its_sources),
)
"""Every check of a board. Errors in the file itself are refused when it is read (``edgeff.device.boards``)."""
