"""The target ``qemu``: firmware on one of QEMU's machines, of any architecture that QEMU has.

The same ELF runs as everywhere else. QEMU is driven over its GDB stub, by a socket that it inherits: memory is read and written while the
core is halted at its wait for a command. A plug-in (``qemu.c``, compiled once a process by the host's compiler) counts the blocks that run,
as the hook of the target ``unicorn`` does. Only the count is taken from QEMU, never its time, so ``-icount`` is not needed.

Refused: a board without a machine of QEMU, and a host without QEMU or without a C compiler. A fault of the guest, a run past the time limit
and an emulator that dies end in an EdgeffError.
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
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from edgeff.device import counting
from edgeff.device.counting import Counted
from edgeff.device.gdb import BREAKPOINT, WRITE_WATCHPOINT, Gdb, GdbError, Silence
from edgeff.device.mailbox import PAINT, FirmwareTarget
from edgeff.device.targets import register
from edgeff.device.toolchains.elf import Symbol
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import BadInput, MissingTool

_PACKAGES = {"qemu-system-riscv32": "qemu-system-misc"}
_OUTPUT_OF_MAILBOX = 16  # bytes from its start: the last word that main.c writes before it waits
_FAULT = "eff_fault"
_END_LIMIT_S = 5.0
_VERSION_LIMIT_S = 20.0


class _Shared(ctypes.Structure):
    """``shared_t`` of qemu.c; the slots for edges follow it."""

    _fields_ = (("active", ctypes.c_uint32), ("stop", ctypes.c_uint32), ("counter", counting.State))


@register
class QemuTarget(FirmwareTarget):
    """A board that QEMU emulates, with its firmware loaded, started and waiting for commands."""

    name = "qemu"
    summary = "the firmware on a machine of QEMU (Cortex-M, RISC-V): exact instruction counts and stack"

    def _start(self) -> None:
        if self.name not in self.board.machines:
            raise BadInput(f"board {self.board.name} on target {self.name}", got="no machine", allowed='a line machines.qemu = "NAME"')
        if "eff_wait" not in self.symbols:
            raise BadInput(f"ELF {self.firmware.elf}", got="no symbol eff_wait", allowed="a firmware of edgeff 0.2 or later")
        self._wait = self.symbols["eff_wait"].address
        self._watched: tuple[Symbol, Callable[[], None]] | None = None
        self._open()
        self._break_at_ends(insert=True)
        self._run_to(self._wait)

    def _open(self) -> None:
        """Starts QEMU, halted at the reset, with the firmware and the paint in its memory."""
        program, *options = self.emulator_options
        path = _installed(program)
        memory = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the target does
        memory.truncate(ctypes.sizeof(_Shared) + counting.SLOTS * counting.EDGE.itemsize)
        self._memory = mmap.mmap(memory.fileno(), 0)
        self._shared = _Shared.from_buffer(self._memory)
        self._slots = np.frombuffer(self._memory, counting.EDGE, offset=ctypes.sizeof(_Shared))
        ours, theirs = socket.socketpair()
        lifeline_end, lifeline = os.pipe()
        floor, top = self.free_region
        contents = [*self.firmware.image.segments, (floor, bytes([PAINT]) * (top - floor))]
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryDirectory(prefix="edgeff-qemu-") as folder:
            command = [path, *options, "-M", self.board.machines[self.name], "-S"]
            command += ["-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "none"]
            command += ["-chardev", f"socket,id=gdb,fd={theirs.fileno()}", "-gdb", "chardev:gdb"]
            command += ["-plugin", f"{_plugin(path)},counts={memory.fileno()},lifeline={lifeline_end}"]
            for number, (address, content) in enumerate(contents):
                file = Path(folder) / str(number)
                file.write_bytes(content)
                command += ["-device", f"loader,file={str(file).replace(',', ',,')},addr={address:#x},force-raw=on"]
            descriptors = (memory.fileno(), theirs.fileno(), lifeline_end)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._messages,
                stderr=self._messages,
                pass_fds=descriptors,
                start_new_session=True,
            )
            self._process = process
            weakref.finalize(self, _end, process, ours, lifeline, self._messages)
            for descriptor in (theirs, memory):
                descriptor.close()
            os.close(lifeline_end)
            with self._speaking():
                self._gdb = Gdb(ours)

    # ---------------------------------------------------------------- memory and commands

    def _peek(self, address: int, size_bytes: int) -> bytes:
        with self._speaking():
            return self._gdb.read_memory(address, size_bytes)

    def _poke(self, address: int, content: bytes) -> None:
        self._gdb.write_memory(address, content)

    def _resume(self) -> None:
        self._pass_wait()
        if self._watched:
            self._run_watched(*self._watched)
        self._run_to(self._wait)

    def watch(self, body: Symbol, look: Callable[[], None]) -> None:
        """From now on ``look`` is called each time a call that the function ``body`` makes has returned.

        By breakpoints where they return to: the kernels run at full speed.
        """
        self._watched = body, look

    def _run_watched(self, body: Symbol, look: Callable[[], None]) -> None:
        code = self._peek(body.address, body.size_bytes)
        place: int | None = body.address
        if not self._run_to(body.address, or_wait=True):
            return
        while (place := self.core.isa.next_return(code, body.address, place)) is not None:
            self._run_to(place)
            look()

    # ---------------------------------------------------------------- counting

    def _resume_counting(self, body: Symbol) -> Counted:
        """Counts without a single breakpoint: QEMU cuts the code on a breakpoint's page into blocks of one instruction.

        The body ends where the plug-in stops to count; that the command has ended is told by its last write to the mailbox.
        """
        self._pass_wait()
        self._break_at_ends(insert=False)
        self._run_to(body.address)
        with self._speaking():
            stop = self._gdb.read_register(self.core.isa.gdb_return) & ~1
        self._slots[:] = 0
        state = counting.State(body_start=body.address, body_end=body.address + body.size_bytes, mask=counting.SLOTS - 1)
        state.edges = self._shared.counter.edges
        self._shared.counter, self._shared.stop, self._shared.active = state, stop, 1
        last_write = self.symbols["eff_mailbox"].address + _OUTPUT_OF_MAILBOX
        self._gdb.insert(WRITE_WATCHPOINT, last_write, 4)
        self._run()
        self._gdb.remove(WRITE_WATCHPOINT, last_write, 4)
        if self._shared.active:
            raise self.failure(f"{stop:#010x} was never reached", self._pc())
        self._break_at_ends(insert=True)
        self._run_to(self._wait)
        return self._with_sizes(counting.counted(self._shared.counter, self._slots, stop))

    def _with_sizes(self, counted: Counted) -> Counted:
        """The edges with the sizes of their blocks in bytes, in place of the numbers of instructions that the plug-in tells."""

        @functools.cache
        def size(start: int, instructions: int) -> int:
            return sum(self.core.isa.lengths(self._peek(start, 4 * instructions))[:instructions])

        edges = tuple(replace(edge, size_bytes=size(edge.start, edge.size_bytes)) for edge in counted.edges)
        return replace(counted, edges=edges)

    # ---------------------------------------------------------------- running

    def _pass_wait(self) -> None:
        self._gdb.write_register(self.core.isa.gdb_pc, self._wait + self.wait_bytes)

    def _break_at_ends(self, *, insert: bool) -> None:
        """Sets the breakpoints at the two places where the firmware ends by itself, or takes them away."""
        change = self._gdb.insert if insert else self._gdb.remove
        for place in (self._wait, self.symbols[_FAULT].address):
            change(BREAKPOINT, place, self.wait_bytes)

    def _run_to(self, place: int, *, or_wait: bool = False) -> bool:
        """Runs until ``place``; whether it was reached, where it may be that the wait comes first. Raises EdgeffError on anything else."""
        own = place != self._wait
        if own:
            self._gdb.insert(BREAKPOINT, place, self.wait_bytes)
        self._run()
        if own:
            self._gdb.remove(BREAKPOINT, place, self.wait_bytes)
        found = self._pc()
        if found == self.symbols[_FAULT].address:
            with self._speaking():
                raise self.failure(*self.core.isa.fault(self._gdb.read_register, self._word))
        if found != place and not (or_wait and found == self._wait):
            raise self.failure(f"{place:#010x} was never reached", found)
        return found == place

    def _run(self) -> None:
        with self._speaking():
            try:
                self._gdb.run(self.time_limit_s)
            except Silence as silence:
                raise self.failure(str(silence), self._gdb.read_register(self.core.isa.gdb_pc)) from None

    def _pc(self) -> int:
        with self._speaking():
            return self._gdb.read_register(self.core.isa.gdb_pc)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._gdb.read_memory(address, 4), "little")

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """What the stub does not do becomes an EdgeffError, with the last words of an emulator that has ended."""
        try:
            yield
        except GdbError as error:
            raise self.failure(self._last_words() or str(error)) from None

    def _last_words(self) -> str:
        """How QEMU ended, in its own first line where it wrote one; empty while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(0.5)
            self._messages.seek(0)
            lines = self._messages.read(4096).decode(errors="replace").splitlines()
            ended = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            return f"QEMU ended {ended}{': ' if lines else ''}{lines[0] if lines else ''}"
        return ""


def _end(process: subprocess.Popen[bytes], connection: socket.socket, lifeline: int, messages: IO[bytes]) -> None:
    """Ends QEMU with its target."""
    connection.close()
    os.close(lifeline)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_LIMIT_S)
    messages.close()


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise MissingTool(f"{program} is not installed", next_step=f"apt-get install {_PACKAGES.get(program, program)}")
    return path


@functools.cache
def _plugin(qemu: str) -> Path:
    """The plug-in for that QEMU, compiled once a process. Raises MissingTool without a compiler."""
    folder = tempfile.TemporaryDirectory(prefix="edgeff-qemu-plugin-")
    weakref.finalize(_plugin, folder.cleanup)
    source, library = Path(__file__).with_suffix(".c"), Path(folder.name) / "plugin.so"
    host_shared_library([source], counting.SOURCE.parent, library, [f"QEMU_PLUGIN_VERSION={_interface(qemu)}"])
    return library


def _interface(qemu: str) -> int:
    """The version of the interface for plug-ins that a QEMU takes: 1 before QEMU 9, 2 since then."""
    try:
        told = subprocess.run([qemu, "--version"], capture_output=True, text=True, timeout=_VERSION_LIMIT_S, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingTool(f"{qemu} does not run", got=str(error)) from None
    version = re.search(r"version (\d+)", told)
    return 2 if version and int(version[1]) >= 9 else 1
