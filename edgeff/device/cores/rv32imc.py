"""A 32-bit RISC-V core with multiplication, division and compressed instructions, and no FPU, as in the ESP32-C3 and others."""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.riscv import RISCV

CORE = register(
    Core(
        name="rv32imc",
        summary="RISC-V, 32 bits: multiplication and compressed instructions, no FPU",
        arch="rv32imc",
        features=frozenset(),
        isa=RISCV,
        startup="riscv",
        toolchains={
            "zig": ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c"),
            # No small-data section: there is no global pointer.
            "riscv_gcc": ("-march=rv32imc", "-mabi=ilp32", "-msmall-data-limit=0"),
        },
        emulators={"qemu": ("qemu-system-riscv32", "-cpu", "rv32,f=false,d=false", "-bios", "none")},
    )
)
