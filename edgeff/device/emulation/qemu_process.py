"""A QEMU that runs for as long as its owner: a machine and the content of its memory come in, a halted core with a GDB stub goes out.

The stub is reached over a socket, and counts are passed in memory, both of which QEMU inherits: nothing has a name that others could find.
The counting is done by a plug-in of QEMU's code generator (``qemu_process.c``, compiled once per process by the host's compiler). QEMU ends
when its owner does, even if that is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from edgeff.device.emulation.counting import EDGE, SLOTS, SOURCE, Counted, State, counted
from edgeff.device.emulation.gdb import Gdb, GdbError
from edgeff.device.isa import InstructionSet
from edgeff.device.toolchains.elf import Symbol
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import MissingTool

_PACKAGES = {"qemu-system-riscv32": "qemu-system-misc"}
_QUIET = ("-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "none")
_END_LIMIT_S = 5.0
_LAST_WORDS_LIMIT_S = 0.5
_VERSION_LIMIT_S = 20.0


def package(program: str) -> str:
    """Debian's package of one of QEMU's programs.

    >>> package("qemu-system-riscv32")
    'qemu-system-misc'
    """
    return _PACKAGES.get(program, program)


class _Shared(ctypes.Structure):
    """``shared_t`` of qemu_process.c; the slots for edges follow it."""

    _fields_ = (("active", ctypes.c_uint32), ("stop", ctypes.c_uint32), ("counter", State))


class QemuProcess:
    """QEMU, halted at the reset of its machine.

    ``options`` begin with the program; ``contents`` are (address, bytes) of the memory. Raises MissingTool without QEMU or a C compiler.
    ``gdb`` speaks to the core; the first answer fails if QEMU has ended, and ``last_words`` says why.
    """

    def __init__(self, options: Sequence[str], contents: Iterable[tuple[int, bytes]]) -> None:
        path = shutil.which(options[0])
        if path is None:
            raise MissingTool(f"{options[0]} is not installed", next_step=f"apt-get install {package(options[0])}")
        library = plugin(path)
        with tempfile.TemporaryDirectory(prefix="edgeff-qemu-") as folder, contextlib.ExitStack() as passed:
            memory = passed.enter_context(tempfile.TemporaryFile())
            memory.truncate(ctypes.sizeof(_Shared) + SLOTS * EDGE.itemsize)
            connection, stub = socket.socketpair()
            passed.enter_context(stub)
            end, lifeline = os.pipe()
            passed.callback(os.close, end)
            messages = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as QEMU does
            command = [path, *options[1:], *_QUIET, "-S"]
            command += ["-chardev", f"socket,id=gdb,fd={stub.fileno()}", "-gdb", "chardev:gdb"]
            command += ["-plugin", f"{library},counts={memory.fileno()},lifeline={end}"]
            for number, (address, content) in enumerate(contents):
                file = Path(folder) / str(number)
                file.write_bytes(content)
                command += ["-device", f"loader,file={str(file).replace(',', ',,')},addr={address:#x},force-raw=on"]
            self._messages = messages
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                pass_fds=(memory.fileno(), stub.fileno(), end),
                start_new_session=True,
            )
            weakref.finalize(self, _end, self._process, connection, lifeline, messages)
            shared = mmap.mmap(memory.fileno(), 0)
            self._shared = _Shared.from_buffer(shared)
            self._slots = np.frombuffer(shared, EDGE, offset=ctypes.sizeof(_Shared))
            self.gdb = Gdb(connection)
            passed.close()  # now only QEMU holds its ends, so that its exit is noticed
            with contextlib.suppress(GdbError):
                self.gdb.greet()  # its memory is loaded once it answers

    @property
    def number(self) -> int:
        """The process ID."""
        return self._process.pid

    def count(self, body: Symbol, stop: int) -> None:
        """Starts counting the calls of the function ``body``, until the core is about to run the code at ``stop``."""
        self._slots[:] = 0
        edges = self._shared.counter.edges
        self._shared.counter = State(body_start=body.address, body_end=body.address + body.size_bytes, mask=SLOTS - 1, edges=edges)
        self._shared.stop, self._shared.active = stop, 1

    @property
    def counting(self) -> bool:
        """Whether ``stop`` has not been reached yet."""
        return bool(self._shared.active)

    def counted(self, code: InstructionSet) -> Counted:
        """The counted edges, with block sizes in bytes; the plug-in gives numbers of instructions."""
        result = counted(self._shared.counter, self._slots, self._shared.stop)

        @functools.cache
        def size(start: int, instructions: int) -> int:
            return sum(code.lengths(self.gdb.read_memory(start, 4 * instructions))[:instructions])

        return replace(result, edges=tuple(replace(edge, size_bytes=size(edge.start, edge.size_bytes)) for edge in result.edges))

    def last_words(self) -> str:
        """How QEMU ended, with its own first line if it wrote one; empty while it runs."""
        try:
            status = self._process.wait(_LAST_WORDS_LIMIT_S)
        except subprocess.TimeoutExpired:
            return ""
        self._messages.seek(0)
        lines = self._messages.read(4096).decode(errors="replace").splitlines()
        ended = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return f"QEMU ended {ended}{': ' if lines else ''}{lines[0] if lines else ''}"


def _end(process: subprocess.Popen[bytes], connection: socket.socket, lifeline: int, messages: IO[bytes]) -> None:
    connection.close()
    os.close(lifeline)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_LIMIT_S)
    messages.close()


@functools.cache
def plugin(qemu: str) -> Path:
    """The plug-in for that QEMU, compiled once per process. Raises MissingTool without a compiler."""
    folder = tempfile.TemporaryDirectory(prefix="edgeff-qemu-plugin-")
    weakref.finalize(plugin, folder.cleanup)
    library = Path(folder.name) / "plugin.so"
    host_shared_library([Path(__file__).with_suffix(".c")], SOURCE.parent, library, [f"QEMU_PLUGIN_VERSION={_interface(qemu)}"])
    return library


def _interface(qemu: str) -> int:
    """The plug-in interface version of a QEMU: 1 before QEMU 9, 2 since then."""
    try:
        answer = subprocess.run([qemu, "--version"], capture_output=True, text=True, timeout=_VERSION_LIMIT_S, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingTool(f"{qemu} does not run", got=str(error)) from None
    version = re.search(r"version (\d+)", answer)
    return 2 if version and int(version[1]) >= 9 else 1
