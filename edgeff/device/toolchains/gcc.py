"""GCC for bare-metal Arm (``arm-none-eabi-gcc``), with nothing of a C library but libgcc (soft float, integer division)."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgeff.device.toolchains.protocol import BOARD_FLAGS, C_FLAGS, run
from edgeff.errors import MissingTool
from edgeff.ir import Board

_PROGRAM = "arm-none-eabi-gcc"


class Gcc:
    """``arm-none-eabi-gcc`` on the search path."""

    name = "gcc"
    how_to_get = "apt-get install gcc-arm-none-eabi"

    def available(self) -> bool:
        """Whether ``arm-none-eabi-gcc`` is on the search path."""
        return shutil.which(_PROGRAM) is not None

    def version(self) -> str:
        """``gcc`` and its version."""
        return f"gcc {_version(_required())}"

    def command(self, board: Board) -> tuple[str, ...]:
        """The compiler and its flags, as one would type them."""
        return (_PROGRAM, *self._flags(board))

    def link(self, sources: Sequence[Path], include: Path, board: Board, linker_script: Path, out: Path) -> None:
        """Compiles ``sources`` and links them into the ELF ``out``."""
        files = [str(source.resolve()) for source in sources]
        # libgcc after the sources: a static library serves only what stands before it.
        places = [f"-I{include.resolve()}", "-T", str(linker_script.resolve()), "-lgcc", "-o", str(out.resolve())]
        run([_required(), *self._flags(board), *files, *places], out.resolve().parent)

    def _flags(self, board: Board) -> tuple[str, ...]:
        return (*board.toolchains[self.name], *C_FLAGS, *BOARD_FLAGS, "-nostdlib", "-Wl,--gc-sections")


def _required() -> str:
    program = shutil.which(_PROGRAM)
    if program is None:
        raise MissingTool(f"{_PROGRAM} is not installed", next_step=Gcc.how_to_get)
    return program


@functools.cache
def _version(program: str) -> str:
    return run([program, "-dumpfullversion"], Path.cwd()).strip()
