"""An emulated board with its serial line: firmware for one of QEMU's machines comes in, the name of a pseudo-terminal goes out.

The emulator's clock counts instructions: one takes 2^shift ns, as near as that comes to one per cycle of the board's clock. So the board's
own time does not depend on this machine, and is no measurement of a board. QEMU ends with the block that it was started in.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgeff.device.cores import core_of
from edgeff.device.emulation.qemu_process import package
from edgeff.device.toolchains.elf import read_elf
from edgeff.errors import EdgeffError, MissingTool, Unsupported
from edgeff.ir import Board

PATIENCE = 6.0
"""The factor on time limits: an emulated second may take longer than one of ours, on a busy machine much longer."""
_START_LIMIT_S = 20.0
_PTY = re.compile(r"char device redirected to (\S+)")
_QUIET = ("-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none")


def instruction_shift(board: Board) -> int:
    """The power of two whose nanoseconds an instruction takes.

    >>> from edgeff.device.boards import load_board
    >>> instruction_shift(load_board("mps2_an386"))
    5
    """
    return min(10, max(0, round(math.log2(1e9 / board.clock_hz))))


def evidence(board: Board) -> str:
    """What the times of the emulated board are."""
    return f"emulated by QEMU: {1 << instruction_shift(board)} ns per instruction, not measured on a board"


@contextlib.contextmanager
def emulated(elf: Path, board: Board) -> Iterator[str]:
    """The pseudo-terminal that is the serial line of ``board``, emulated with the firmware ``elf``.

    Raises Unsupported for a board without a QEMU machine or a serial line, MissingTool without QEMU, EdgeffError where it does not start.
    """
    if "qemu" not in board.machines or board.uart is None:
        lacks = "QEMU machine" if "qemu" not in board.machines else "[uart] in its file"
        raise Unsupported(f"board {board.name}, emulated with its serial line", got=f"no {lacks}", next_step="connect it: --port P")
    program, *options = core_of(board).emulators["qemu"]
    path = shutil.which(program)
    if path is None:
        raise MissingTool(f"{program} is not installed", next_step=f"apt-get install {package(program)}")
    with tempfile.TemporaryDirectory(prefix="edgeff-qemu-") as folder, contextlib.ExitStack() as ends:
        command = [path, *options, "-M", board.machines["qemu"], *_QUIET, "-icount", f"shift={instruction_shift(board)},align=off"]
        command += ["-chardev", "pty,id=line", "-serial", "chardev:line"]
        for number, (address, content) in enumerate(read_elf(elf).segments):
            file = Path(folder) / str(number)
            file.write_bytes(content)
            command += ["-device", f"loader,file={str(file).replace(',', ',,')},addr={address:#x},force-raw=on"]
        if guard := shutil.which("setpriv"):  # QEMU ends with this process, even if that is killed
            command = [guard, "--pdeathsig", "KILL", "--", *command]
        messages = ends.enter_context((Path(folder) / "messages").open("w+b"))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages)
        ends.callback(_end, process)
        yield _terminal(process, Path(messages.name))


def _terminal(process: subprocess.Popen[bytes], messages: Path) -> str:
    """The name of the pseudo-terminal, once QEMU has said it."""
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end:
        text = messages.read_text(encoding="utf-8", errors="replace")
        if match := _PTY.search(text):
            return match[1]
        if process.poll() is not None:
            raise EdgeffError("QEMU ended", got=next(iter(text.splitlines()), f"status {process.returncode}"))
        time.sleep(0.02)
    raise EdgeffError("QEMU", got=f"no serial line after {_START_LIMIT_S:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
