"""Kernels on an emulated Cortex-M4F: functions of C files in one ELF, called one by one with arguments in registers and memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kernel_cases import Block, struct_of
from kernel_sources import write_kernels
from unicorn import arm_const, unicorn_const
from unicorn.unicorn_py3.unicorn import Uc

from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.elf import read_elf
from edgeff.ir import Array
from edgeff.kernels import Kernel, Param, source_name
from edgeff.resources import templates_folder

BOARD = "mps2_an386"
RAM, RAM_BYTES, STACK_BYTES = 0x20000000, 1 << 22, 1 << 16
FLASH_BYTES = 1 << 21
RETURN = FLASH_BYTES - 16
SYSTEM = 0xE000E000
RESET = "void eff_reset(void);\nvoid eff_reset(void) { *(volatile unsigned *)0xE000ED88u |= 0xFu << 20; }\n"
"""Start-up code: it switches the FPU on."""
SCRIPT = "ENTRY(eff_reset)\nSECTIONS { . = 0; .text : { KEEP(*(.text .text.*)) *(.rodata .rodata.*) } /DISCARD/ : { *(.ARM.*) } }\n"


def build(folder: Path, toolchain: str, kernels: Iterable[Kernel]) -> Path:
    """The ELF of ``kernels`` in all the forms that the board's core has, built in ``folder``."""
    write_kernels(folder / "kernels")
    features = core_of(load_board(BOARD)).features
    forms = [(kernel, variant.name) for kernel in kernels for variant in kernel.variants if variant.needs <= features]
    names = {source_name(kernel.variant_source(name)) for kernel, form in forms for name in ("", form)}
    for name in ("memory.c", "string.h"):
        (folder / "kernels" / name).write_bytes((templates_folder() / "bare_metal" / name).read_bytes())
    (folder / "kernels" / "reset.c").write_text(RESET, encoding="utf-8")
    script = folder / "link.ld"
    script.write_text(SCRIPT, encoding="utf-8")
    sources = [folder / "kernels" / name for name in (*sorted(names), "memory.c", "reset.c")]
    elf = folder / "kernels.elf"
    TOOLCHAINS[toolchain].link(sources, folder / "kernels", load_board(BOARD), script, elf)
    return elf


class EmulatedKernels:
    """The kernels of an ELF, to be called."""

    def __init__(self, elf: Path) -> None:
        image = read_elf(elf)
        self.symbols = image.symbols
        self.uc = Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB | unicorn_const.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        self.uc.mem_map(0, FLASH_BYTES)
        self.uc.mem_map(RAM, RAM_BYTES)
        self.uc.mem_map(SYSTEM, 0x1000)
        for address, content in image.segments:
            self.uc.mem_write(address, content)
        self._run("eff_reset")

    def _run(self, name: str) -> None:
        self.uc.reg_write(arm_const.UC_ARM_REG_LR, RETURN | 1)
        self.uc.emu_start(self.symbols[name].address | 1, RETURN)

    def call(self, name: str, blocks: Sequence[Block], numbers: Sequence[tuple[Param, Any]], scratch: Array) -> None:
        """Runs the function ``name``; what lies beside a block is guarded by the blocks themselves."""
        at = RAM
        placed: list[tuple[int, Array]] = []

        def place(array: Array) -> int:
            nonlocal at
            address, at = at, at + array.nbytes + 16 & ~15
            self.uc.mem_write(address, array.tobytes())
            placed.append((address, array))
            return address

        words: list[int] = [0 if array is None else place(array) + offset for array, offset in blocks]
        floats: list[float] = []
        for param, value in numbers:
            if param.record is not None:
                words.append(place(np.frombuffer(bytes(struct_of(value)), np.uint8).copy()))
            elif param.ctype == "float":
                floats.append(value)
            else:
                words.append(int(value) & 0xFFFFFFFF)
        if scratch.size:
            words.append(place(scratch))
        stack = RAM + RAM_BYTES - STACK_BYTES
        assert at < stack - STACK_BYTES
        self.uc.mem_write(stack, struct.pack(f"<{len(words[4:])}I", *words[4:]))
        for register, word in enumerate(words[:4]):
            self.uc.reg_write(arm_const.UC_ARM_REG_R0 + register, word)
        for register, value in enumerate(floats):
            (bits,) = struct.unpack("<I", struct.pack("<f", value))
            self.uc.reg_write(arm_const.UC_ARM_REG_S0 + register, bits)
        kept = (*range(arm_const.UC_ARM_REG_R4, arm_const.UC_ARM_REG_R4 + 4), arm_const.UC_ARM_REG_D8, arm_const.UC_ARM_REG_D15)
        for number, register in enumerate(kept):
            self.uc.reg_write(register, 0x1234567 + number)
        self.uc.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._run(name)
        assert self.uc.reg_read(arm_const.UC_ARM_REG_SP) == stack, f"{name} leaves another stack pointer"
        for number, register in enumerate(kept):
            assert self.uc.reg_read(register) == 0x1234567 + number, f"{name} changes a register that it has to keep"
        for address, array in placed:
            content = np.frombuffer(bytes(self.uc.mem_read(address, array.nbytes)), array.dtype)
            if array.flags.writeable:
                array[:] = content.reshape(array.shape)
