"""What other build systems need to know of boards: their GCC, and its flags for the core."""

from __future__ import annotations

from collections.abc import Iterable

from edgeff.codegen.packages import BoardBuild
from edgeff.device.boards import load_boards
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.gcc import Gcc
from edgeff.ir import Board


def board_builds(more: Iterable[Board] = ()) -> tuple[BoardBuild, ...]:
    """Every board of the catalogue, and ``more``, for which a GCC is known.

    >>> next(build.flags[0] for build in board_builds() if build.name == "rpi_pico")
    '-mcpu=cortex-m0plus'
    """
    boards = load_boards() | {board.name: board for board in more}
    return tuple(
        BoardBuild(board.name, board.summary, tool.program, board.toolchains[name])
        for board in boards.values()
        for name, tool in TOOLCHAINS.items()
        if name in board.toolchains and isinstance(tool, Gcc)
    )
