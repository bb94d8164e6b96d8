"""Compiles C for the machine that edgeff runs on: sources come in, a shared library goes out.

The flags are those of the boards (``C_FLAGS``), then ``$CFLAGS``: ``CFLAGS="-O3 -march=native -funroll-loops"`` makes int8 learning through
convolutions a third faster and changes no bit, for the sources forbid to fuse a multiply and an add and refuse ``-ffast-math``.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgeff.device.toolchains.objects import CACHE
from edgeff.device.toolchains.protocol import C_FLAGS, run
from edgeff.device.toolchains.zig import executable
from edgeff.errors import MissingTool


def host_compiler() -> list[str]:
    """The command of the host's C compiler: ``$CC``, else cc, gcc or clang, else ``zig cc``.

    Raises MissingTool if ``$CC`` does not exist, or if there is no compiler.
    """
    if chosen := shlex.split(os.environ.get("CC", "")):
        if shutil.which(chosen[0]) is None:
            raise MissingTool("the compiler that CC names is not installed", got=repr(chosen[0]), next_step="unset CC")
        return chosen
    for name in ("cc", "gcc", "clang"):
        if program := shutil.which(name):
            return [program]
    if zig := executable():
        return [str(zig), "cc", "-fno-sanitize=all"]
    raise MissingTool("no C compiler is installed", allowed="cc, gcc, clang, zig", next_step="pip install ziglang")


def host_shared_library(sources: Sequence[Path], include: Path, out: Path, defines: Sequence[str] = ()) -> None:
    """Compiles ``sources`` into the shared library ``out``; ``defines`` are macros as in ``NAME`` or ``NAME=value``.

    Raises MissingTool without a compiler, EdgeffError with the compiler's first error.
    """
    chosen = shlex.split(os.environ.get("CFLAGS", ""))
    command = [*host_compiler(), *C_FLAGS, *chosen, *(f"-D{define}" for define in defines), "-fPIC"]
    with CACHE.objects(command, sources, include) as objects:
        run([*command, "-shared", *map(str, objects), "-o", str(out.resolve())], out.resolve().parent)
