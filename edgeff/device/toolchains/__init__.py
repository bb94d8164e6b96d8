"""Compilers and linkers for boards: C sources, a board and a linker script come in, an ELF goes out.

``zig`` (PyPI ``ziglang``, installed with edgeff) and GCC, one for each architecture, share one protocol. All compile with the same
language flags: C99, ``-ffp-contract=off`` (a contracted multiply-add gives other bits), no link-time optimisation (kernels stay separate
functions, so that counts can be attributed to them). None of them needs a C library. A core's record says what it needs from a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgeff.device.toolchains.gcc import Gcc
from edgeff.device.toolchains.protocol import Toolchain
from edgeff.device.toolchains.zig import Zig
from edgeff.errors import BadInput, MissingTool
from edgeff.ir import Board

__all__ = ["TOOLCHAINS", "Toolchain", "choose"]

# In order of preference: the one that comes with edgeff first, so that the same ELF is built everywhere.
TOOLCHAINS: Mapping[str, Toolchain] = {
    tool.name: tool
    for tool in (
        Zig(),
        Gcc("gcc", "arm-none-eabi-gcc", "gcc-arm-none-eabi"),
        Gcc("riscv_gcc", "riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"),
    )
}


def choose(board: Board, name: str | None = None) -> Toolchain:
    """The toolchain of that name, or the first one that is installed and for which the board has flags.

    Raises BadInput for a name that is unknown or for which the board has no flags, MissingTool if none is installed.

    >>> from edgeff.device.boards import load_board
    >>> choose(load_board("rpi_pico"), "zig").name
    'zig'
    """
    known = [key for key in TOOLCHAINS if key in board.toolchains]
    if name is not None and name not in known:
        raise BadInput(f"toolchain for board {board.name}", got=repr(name), allowed=", ".join(known))
    for key in [name] if name is not None else known:
        if TOOLCHAINS[key].available():
            return TOOLCHAINS[key]
    candidates = [name] if name is not None else known
    raise MissingTool(
        f"no toolchain for board {board.name} is installed",
        allowed=", ".join(candidates),
        next_step="; or ".join(f"{key}: {TOOLCHAINS[key].how_to_get}" for key in candidates),
    )
