"""The target ``qemu``: firmware on one of QEMU's machines, of any architecture that QEMU has.

The ELF is the same as everywhere else. QEMU is driven over its GDB stub: memory is read and written while the core is halted at its wait
for a command. Blocks are counted as in the target ``unicorn``; only counts are taken from QEMU, never its time, so ``-icount`` is not
needed.

Refused: a board without a QEMU machine, and a host without QEMU or without a C compiler. A fault of the guest, a run past the time limit
and an emulator that crashes end in an EdgeffError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from edgeff.device.emulation.counting import Counted
from edgeff.device.emulation.gdb import BREAKPOINT, Gdb, GdbError, Silence
from edgeff.device.emulation.qemu_process import QemuProcess
from edgeff.device.mailbox import PAINT, FirmwareTarget
from edgeff.device.targets import register
from edgeff.device.toolchains.elf import Symbol
from edgeff.errors import BadInput


@register
class QemuTarget(FirmwareTarget):
    """A board that QEMU emulates, with its firmware loaded, started and waiting for commands."""

    name = "qemu"
    summary = "the firmware on a QEMU machine (Cortex-M, RISC-V): exact instruction counts and stack"

    def _start(self) -> None:
        if self.name not in self.board.machines:
            raise BadInput(f"board {self.board.name} on target {self.name}", got="no machine", allowed='a line machines.qemu = "NAME"')
        if missing := [name for name in ("eff_wait", "eff_fault") if name not in self.symbols]:
            raise BadInput(f"ELF {self.firmware.elf}", got=f"no symbol {missing[0]}", allowed="a firmware of edgeff 0.2 or later")
        self._wait, self._fault = self.symbols["eff_wait"].address, self.symbols["eff_fault"].address
        self._watched: tuple[Symbol, Callable[[], None]] | None = None
        floor, top = self.free_region
        contents = [*self.firmware.image.segments, (floor, bytes([PAINT]) * (top - floor))]
        self.process = QemuProcess([*self.emulator_options, "-M", self.board.machines[self.name]], contents)
        self._break_at_ends(insert=True)
        self._run_to(self._wait)

    @property
    def _gdb(self) -> Gdb:
        return self.process.gdb

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

    # ---------------------------------------------------------------- watching and counting

    def watch(self, body: Symbol, look: Callable[[], None]) -> None:
        """From now on ``look`` is called each time a call that the function ``body`` makes has returned.

        By breakpoints at their return addresses: the kernels run at full speed.
        """
        self._watched = body, look

    def _run_watched(self, body: Symbol, look: Callable[[], None]) -> None:
        code = self._peek(body.address, body.size_bytes)
        if not self._run_to(body.address, or_wait=True):
            return
        place = self.core.isa.next_return(code, body.address, body.address)
        while place is not None:
            self._run_to(place)
            look()
            place = self.core.isa.next_return(code, body.address, place)

    def _resume_counting(self, body: Symbol) -> Counted:
        """Counts without any breakpoint: QEMU splits the code on a breakpoint's page into blocks of one instruction. Nor does a watchpoint
        mark the end: QEMU 7.2 takes unaligned writes elsewhere on its page for hits.

        The body ends where the process stops counting; until it is asked the core goes round at the place where it waits.
        """
        self._pass_wait()
        self._break_at_ends(insert=False)
        self._run_to(body.address)
        with self._speaking():
            stop = self._gdb.read_register(self.core.isa.gdb_return) & ~1
        self.process.count(body, stop)
        waits = self._peek(self._wait, self.wait_bytes)
        self._poke(self._wait, self.core.isa.goes_round)
        self._run(until=lambda: not self.process.counting)
        self._poke(self._wait, waits)
        if self.process.counting:
            raise self.failure(f"{stop:#010x} was never reached", self._pc())
        self._break_at_ends(insert=True)
        self._run_to(self._wait)
        with self._speaking():
            return self.process.counted(self.core.isa)

    # ---------------------------------------------------------------- running

    def _pass_wait(self) -> None:
        self._gdb.write_register(self.core.isa.gdb_pc, self._wait + self.wait_bytes)

    def _break_at_ends(self, *, insert: bool) -> None:
        """Sets the breakpoints at the two places where the firmware ends by itself, or removes them."""
        change = self._gdb.insert if insert else self._gdb.remove
        for place in (self._wait, self._fault):
            change(BREAKPOINT, place, self.wait_bytes)

    def _run_to(self, place: int, *, or_wait: bool = False) -> bool:
        """Runs until ``place``; returns whether it was reached, or the wait first if allowed. Raises EdgeffError on anything else."""
        if place != self._wait:
            self._gdb.insert(BREAKPOINT, place, self.wait_bytes)
        self._run()
        if place != self._wait:
            self._gdb.remove(BREAKPOINT, place, self.wait_bytes)
        halted = self._pc()
        if halted == self._fault:
            with self._speaking():
                raise self.failure(*self.core.isa.fault(self._gdb.read_register, self._word))
        if halted != place and not (or_wait and halted == self._wait):
            raise self.failure(f"{place:#010x} was never reached", halted)
        return halted == place

    def _run(self, until: Callable[[], bool] | None = None) -> None:
        with self._speaking():
            try:
                self._gdb.run(self.time_limit_s, until)
            except Silence as silence:
                raise self.failure(str(silence), self._gdb.read_register(self.core.isa.gdb_pc)) from None

    def _pc(self) -> int:
        with self._speaking():
            return self._gdb.read_register(self.core.isa.gdb_pc)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._gdb.read_memory(address, 4), "little")

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turns failures of the stub into an EdgeffError, with the last words of an emulator that has ended."""
        try:
            yield
        except GdbError as error:
            raise self.failure(self.process.last_words() or str(error)) from None
