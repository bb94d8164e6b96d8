"""GCC for bare metal, one compiler per architecture, without a C library except libgcc (soft float, integer division)."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgeff.device.toolchains.objects import CACHE
from edgeff.device.toolchains.protocol import BOARD_FLAGS, C_FLAGS, run
from edgeff.errors import MissingTool
from edgeff.ir import Board

_LINKING = ("-nostdlib", "-Wl,--gc-sections")


class Gcc:
    """The cross compiler ``program`` on the search path; ``package`` is its Debian package."""

    libraries: tuple[str, ...] = ("-lgcc",)

    def __init__(self, name: str, program: str, package: str) -> None:
        self.name, self.program = name, program
        self.how_to_get = f"apt-get install {package}"

    def available(self) -> bool:
        """Whether it is on the search path."""
        return shutil.which(self.program) is not None

    def version(self) -> str:
        """Its name and its version."""
        return f"{self.name} {_version(self._required())}"

    def command(self, board: Board) -> tuple[str, ...]:
        """The compiler and its flags, as typed on a command line."""
        return (self.program, *self._flags(board), *_LINKING)

    def link(self, sources: Sequence[Path], include: Path, board: Board, linker_script: Path, out: Path) -> None:
        """Compiles ``sources`` and links them into the ELF ``out``."""
        command = [self._required(), *self._flags(board)]
        with CACHE.objects(command, sources, include) as objects:
            # libgcc after the objects: a static library serves only what stands before it.
            files = [*map(str, objects), "-T", str(linker_script.resolve()), *self.libraries, "-o", str(out.resolve())]
            run([*command, *_LINKING, *files], out.resolve().parent)

    def _flags(self, board: Board) -> tuple[str, ...]:
        return (*board.toolchains[self.name], *C_FLAGS, *BOARD_FLAGS)

    def _required(self) -> str:
        path = shutil.which(self.program)
        if path is None:
            raise MissingTool(f"{self.program} is not installed", next_step=self.how_to_get)
        return path


@functools.cache
def _version(program: str) -> str:
    return run([program, "-dumpfullversion"], Path.cwd()).strip()
