"""The toolchain protocol, and running a compiler: a command line comes in, a file or a one-line error goes out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edgeff.errors import DoesNotFit, EdgeffError, MissingTool
from edgeff.ir import Board

# The language and the numeric contract: flags for every compiler of edgeff's C, on boards and on the host.
C_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra")
# A board has no operating system; unused functions and stack unwinding tables are dropped.
BOARD_FLAGS = (
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-fomit-frame-pointer",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
)

_TIME_LIMIT_S = 300
_OVERFLOW = re.compile(r"region [`'\"]?(\w+)['\"]?:? overflowed by (\d+) bytes")


class Toolchain(Protocol):
    """A compiler and linker for boards."""

    @property
    def name(self) -> str:
        """The name by which a board file gives its flags."""

    @property
    def how_to_get(self) -> str:
        """The command that installs it."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """The libraries on a command line after the sources."""

    def available(self) -> bool:
        """Whether it is installed."""

    def version(self) -> str:
        """Its version, for reports. Raises MissingTool if it is not installed."""

    def command(self, board: Board) -> tuple[str, ...]:
        """The compiler and every flag except sources, include folder, linker script and output, for projects that people build by hand."""

    def link(self, sources: Sequence[Path], include: Path, board: Board, linker_script: Path, out: Path) -> None:
        """Compiles ``sources`` and links them into the ELF ``out``.

        Raises MissingTool if it is not installed, DoesNotFit if a memory region overflows (with the number of bytes) and EdgeffError
        with the compiler's first error otherwise.
        """


def run(command: Sequence[str], folder: Path) -> str:
    """The standard output of a compiler run in ``folder``.

    Raises MissingTool if it cannot be started, DoesNotFit if the linker reports an overflow, EdgeffError if it fails or takes more
    than five minutes.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError as error:
        raise MissingTool(f"{command[0]} cannot be started", got=error.strerror or str(error)) from None
    except subprocess.TimeoutExpired:
        raise EdgeffError(f"{Path(command[0]).name} was stopped", got=f"no result after {_TIME_LIMIT_S} s") from None
    if done.returncode:
        _refuse(Path(command[0]).name, done.stderr or done.stdout)
    return done.stdout


def _refuse(tool: str, messages: str) -> None:
    overflows = [(region, int(count)) for region, count in _OVERFLOW.findall(messages)]
    if overflows:
        # One linker reports the sum at the end, the other after each section: the largest number is the missing amount.
        largest = {region: max(count for other, count in overflows if other == region) for region, _ in overflows}
        raise DoesNotFit(
            "the firmware is larger than the board's memory",
            got="; ".join(f"{region} is {count} bytes too small" for region, count in largest.items()),
            next_step="choose a smaller network, another rule or another board",
        )
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    first = next((line for line in lines if "error: " in line or "undefined reference" in line), lines[0] if lines else "no message")
    raise EdgeffError(f"{tool} failed", got=first)
