"""The target ``unicorn``: firmware on an emulated Cortex-M, with nothing to install but the PyPI package ``unicorn``.

The whole firmware runs, from the reset vector on, at full speed; only counting slows it down. Refused: cores that the emulator does not
have. A fault of the guest (an access outside the board's memory, an undefined instruction) or a run past the time limit ends in an
EdgeffError that names the place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from unicorn import arm_const, unicorn_const
from unicorn.unicorn_py3.unicorn import Uc, UcError

from edgeff.device.emulation.block_hooks import counter
from edgeff.device.emulation.counting import Counted
from edgeff.device.emulation.watchdog import limit
from edgeff.device.isa.thumb import THUMB
from edgeff.device.mailbox import PAINT, FirmwareTarget
from edgeff.device.targets import register
from edgeff.device.toolchains.elf import Symbol
from edgeff.errors import EdgeffError

_PAGE = 0x1000
_SYSTEM = 0xE000E000  # the core's own registers, including the switch of the FPU
_BREAKPOINT = 7  # the exception number by which the emulator reports BKPT
_EXCEPTIONS = {
    1: "undefined instruction",
    2: "supervisor call",
    3: "instruction fetch outside of memory",
    4: "data access outside of memory",
}
_NOWHERE = 0xFFFFFFFE


@register
class UnicornTarget(FirmwareTarget):
    """A board that Unicorn emulates, with its firmware loaded, started and waiting for commands."""

    name = "unicorn"
    summary = "the firmware on an emulated Cortex-M: exact instruction counts and stack"

    def _start(self) -> None:
        (model,) = self.emulator_options
        self._exception = 0
        try:
            self._uc = self._machine(model)
        except UcError as error:
            raise EdgeffError(f"board {self.board.name} cannot be emulated", got=str(error)) from None
        floor, top = self.free_region
        self._poke(floor, bytes([PAINT]) * (top - floor))
        flash = next(region for region in self.board.regions if region.kind == "flash")
        stack, reset = struct.unpack("<II", self._peek(flash.origin, 8))
        self._uc.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._run(reset & ~1)

    def _machine(self, model: str) -> Uc:
        uc = Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB | unicorn_const.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_{model}"))
        rights = {
            "flash": unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_EXEC,
            "ram": unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_WRITE,
        }
        for region in self.board.regions:
            first = region.origin // _PAGE * _PAGE
            end = -(-(region.origin + region.length_bytes) // _PAGE) * _PAGE
            uc.mem_map(first, end - first, rights[region.kind])
        uc.mem_map(_SYSTEM, _PAGE)
        for address, content in self.firmware.image.segments:
            uc.mem_write(address, content)
        uc.hook_add(unicorn_const.UC_HOOK_INTR, self._on_exception)
        return uc

    def _peek(self, address: int, size_bytes: int) -> bytes:
        return bytes(self._uc.mem_read(address, size_bytes))

    def _poke(self, address: int, content: bytes) -> None:
        self._uc.mem_write(address, content)

    def _resume(self) -> None:
        self._run(self._pc() + self.wait_bytes)

    def _resume_counting(self, body: Symbol) -> Counted:
        self._uc.ctl_flush_tb()
        self._run(self._pc() + self.wait_bytes, body.address)
        stop = self._uc.reg_read(arm_const.UC_ARM_REG_LR) & ~1
        counting = counter(body.address, body.address + body.size_bytes, stop)
        counting.attach(self._uc)
        try:
            self._uc.ctl_flush_tb()
            self._run(body.address, stop)
        finally:
            counting.detach(self._uc)
            self._uc.ctl_flush_tb()
        self._run(stop)
        return counting.counted()

    def watch(self, body: Symbol, look: Callable[[], None]) -> None:
        """From now on ``look`` is called each time a call that the function ``body`` makes has returned.

        Only the blocks of that function are hooked, so the kernels run at full speed.
        """
        after_call: int | None = None

        def on_block(_emulator: Uc, address: int, size_bytes: int, _data: Any) -> None:
            nonlocal after_call
            if address == after_call:
                look()
            after_call = _return_of(self._peek(address, size_bytes), address)

        self._uc.ctl_flush_tb()
        self._uc.hook_add(unicorn_const.UC_HOOK_BLOCK, on_block, None, body.address, body.address + body.size_bytes - 1)

    def _run(self, start: int, stop: int = _NOWHERE) -> None:
        """Runs from ``start`` until the wait for a command, or until ``stop`` if given. Raises EdgeffError on anything else."""
        self._exception = 0
        error = ""
        with limit(self.time_limit_s, self._uc.emu_stop) as watch:
            try:
                self._uc.emu_start(start | 1, stop)
            except UcError as fault:
                error = str(fault)
        place = self._pc()
        if watch.expired:
            error = f"no end after {self.time_limit_s:g} s"
        error = error or self._halted_wrongly(place, stop)
        if error:
            raise self.failure(error, place)

    def _halted_wrongly(self, place: int, stop: int) -> str:
        """Why a halt at ``place`` is not the expected one; empty if it is."""
        if self._exception == 0:
            return "" if place == stop else f"{stop:#010x} was never reached"
        if self._exception != _BREAKPOINT:
            return _EXCEPTIONS.get(self._exception, f"exception {self._exception} of the emulator")
        _, wait = self.core.isa.wait
        if self._peek(place, len(wait)) != wait:
            return "the firmware's own fault handler"
        return "" if stop == _NOWHERE else f"{stop:#010x} was never reached"

    def _on_exception(self, emulator: Uc, number: int, _data: Any) -> None:
        self._exception = number
        emulator.emu_stop()

    def _pc(self) -> int:
        return int(self._uc.reg_read(arm_const.UC_ARM_REG_PC))


@lru_cache(maxsize=4096)
def _return_of(block: bytes, address: int) -> int | None:
    """The return address of the call that ends a block; None if the block does not end in a call."""
    return THUMB.next_return(block, address, address)
