"""Writes firmware to a board's flash by the tool that its file names: OpenOCD, probe-rs, picotool, bossac or esptool.

The tool is called, not replaced. Refused: a board without a tool, a tool that is not installed (with the way to get it), one that fails
(with what it said). None of the calls has been tried on a board.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeff.device.toolchains.elf import read_elf
from edgeff.errors import BadInput, EdgeffError, MissingTool, Unsupported
from edgeff.ir import Board, Flasher

LIMIT_S = 300.0
ESP_APPLICATION = "0x10000"
"""Where ESP-IDF's default partition table has the application."""

Commands = Callable[[Flasher, Path, Path, Sequence[str]], list[list[str]]]


@dataclass(frozen=True)
class _Tool:
    """A tool: its programs (any will do), how to get it, whether it takes a port, and its calls, the program left out.

    ``calls`` get the board's line, the ELF, a raw image beside it that they may use, and the options of the port.
    """

    programs: tuple[str, ...]
    how_to_get: str
    calls: Commands
    port_option: str = ""
    raw: bool = False


TOOLS: Mapping[str, _Tool] = {
    "openocd": _Tool(
        ("openocd",),
        "apt-get install openocd",
        lambda flasher, elf, _raw, _port: [["-f", flasher.argument, "-c", f"program {{{elf}}} verify reset exit"]],
    ),
    "probe-rs": _Tool(
        ("probe-rs",),
        "see https://probe.rs/docs/getting-started/installation",
        lambda flasher, elf, _raw, _port: [
            ["download", "--chip", flasher.argument, "--verify", str(elf)],
            ["reset", "--chip", flasher.argument],
        ],
    ),
    "picotool": _Tool(
        ("picotool",),
        "see https://github.com/raspberrypi/picotool, and hold BOOTSEL while you plug the board in",
        lambda _flasher, elf, _raw, _port: [["load", "-v", "-x", str(elf)]],
    ),
    "bossac": _Tool(
        ("bossac",),
        "apt-get install bossa-cli, or take Arduino's; press the board's reset button twice",
        lambda _flasher, _elf, raw, port: [[*port, "-U", "-i", "-e", "-w", str(raw), "-R"]],
        port_option="--port",
        raw=True,
    ),
    "esptool": _Tool(
        ("esptool", "esptool.py"),
        "pip install esptool",
        lambda flasher, elf, raw, port: [
            ["--chip", flasher.argument, "elf2image", "-o", str(raw), str(elf)],
            ["--chip", flasher.argument, *port, "write_flash", ESP_APPLICATION, str(raw)],
        ],
        port_option="--port",
    ),
}


def flash(board: Board, elf: Path, port: str | None = None, *, run: bool = True) -> list[list[str]]:
    """The commands that write the firmware ``elf`` to ``board``, after they have run; with ``run`` False they do not run.

    ``port`` is the serial port for tools that take one. Raises Unsupported for a board without a tool, MissingTool where it is not
    installed, BadInput for a file that is no ELF or a port that the tool does not take, and EdgeffError where the tool fails.
    """
    if board.flasher is None:
        raise Unsupported(
            f"flashing {board.name}",
            got="no tool in the board's file",
            allowed=f"flasher = {{ tool = ... }}, one of {', '.join(TOOLS)}",
            next_step="or use the tool of the board's own environment",
        )
    tool = TOOLS[board.flasher.tool]
    if port is not None and not tool.port_option:
        raise BadInput("option --port", got=repr(port), allowed=f"none: {board.flasher.tool} finds the board by itself")
    segments = read_elf(elf).segments
    program = next((path for name in tool.programs if (path := shutil.which(name))), None)
    if program is None and run:
        raise MissingTool(f"{tool.programs[0]}, which flashes {board.name}, is not installed", next_step=tool.how_to_get)
    with tempfile.TemporaryDirectory(prefix="edgeff-flash-") as folder:
        raw = Path(folder) / "firmware.bin"
        if tool.raw:
            raw.write_bytes(_image(segments))
        options = [f"{tool.port_option}={port}"] if port else []
        calls = [[program or tool.programs[0], *call] for call in tool.calls(board.flasher, elf.resolve(), raw, options)]
        for call in calls if run else ():
            _run(call, board.flasher.tool)
    return calls


def _image(segments: Sequence[tuple[int, bytes]]) -> bytes:
    """The bytes from the first address to the last; gaps are as erased flash."""
    first = min(address for address, _ in segments)
    image = bytearray(b"\xff" * (max(address + len(content) for address, content in segments) - first))
    for address, content in segments:
        image[address - first : address - first + len(content)] = content
    return bytes(image)


def _run(call: list[str], name: str) -> None:
    try:
        done = subprocess.run(
            call, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as error:
        raise MissingTool(f"{name} cannot be started", got=error.strerror or str(error)) from None
    except subprocess.TimeoutExpired:
        raise EdgeffError(f"{name} was stopped", got=f"no end after {LIMIT_S:g} s", next_step="is the board connected?") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if "error" in line.lower()]
        got = (wrong or lines[-1:] or [f"status {done.returncode}"])[0]
        raise EdgeffError(f"{name} failed", got=got, next_step="is the board connected, and no other program using it?")
