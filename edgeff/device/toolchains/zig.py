"""The embedded default: clang, lld and compiler-rt from the PyPI package ``ziglang``; nothing else to install.

``-O3`` is not used: ``zig cc`` turns it into ``-O2``. The run-time library (soft float) comes out of zig's own cache.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from edgeff.device.toolchains.objects import CACHE
from edgeff.device.toolchains.protocol import BOARD_FLAGS, C_FLAGS, run
from edgeff.errors import MissingTool
from edgeff.ir import Board

# Zig names an entry symbol by itself, whatever the linker script says. It obeys these even where it only compiles: not for single objects.
_LINKING = ("-Wl,--gc-sections", "-Wl,-e,eff_reset")


class Zig:
    """``zig cc`` of the ``ziglang`` wheel. Without ``-g`` it strips the symbols that profiles need."""

    name = "zig"
    how_to_get = "pip install ziglang"
    libraries: tuple[str, ...] = ()

    def available(self) -> bool:
        """Whether the ``ziglang`` wheel is installed."""
        return executable() is not None

    def version(self) -> str:
        """``zig`` and its version."""
        return f"zig {_version(str(_required()))}"

    def command(self, board: Board) -> tuple[str, ...]:
        """The compiler and its flags, as typed on a command line."""
        return ("python3", "-m", "ziglang", "cc", *self._flags(board), *_LINKING)

    def link(self, sources: Sequence[Path], include: Path, board: Board, linker_script: Path, out: Path) -> None:
        """Compiles ``sources`` and links them into the ELF ``out``."""
        command = [str(_required()), "cc", *self._flags(board)]
        with CACHE.objects(command, sources, include) as objects:
            run(
                [*command, *_LINKING, *map(str, objects), "-T", str(linker_script.resolve()), "-o", str(out.resolve())],
                out.resolve().parent,
            )

    def _flags(self, board: Board) -> tuple[str, ...]:
        sanitisers_off = ("-fno-sanitize=all", "-fno-stack-protector")
        return (*board.toolchains[self.name], *C_FLAGS, *BOARD_FLAGS, *sanitisers_off, "-g")


def executable() -> Path | None:
    """The ``zig`` program of the ``ziglang`` wheel; None if it is not installed."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / ("zig.exe" if os.name == "nt" else "zig")
    return program if program.is_file() else None


def _required() -> Path:
    program = executable()
    if program is None:
        raise MissingTool("ziglang is not installed", next_step=Zig.how_to_get)
    return program


@functools.cache
def _version(program: str) -> str:
    return run([program, "version"], Path.cwd()).strip()
