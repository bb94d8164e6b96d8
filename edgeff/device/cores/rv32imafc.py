"""A 32-bit RISC-V core with multiplication, division, atomics, compressed instructions and a single-precision FPU, as in the ESP32-P4."""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.riscv import RISCV

CORE = register(
    Core(
        name="rv32imafc",
        summary="RISC-V, 32 bits: multiplication, compressed instructions, single-precision FPU",
        arch="rv32imafc",
        features=frozenset({"fpu"}),
        isa=RISCV,
        startup="riscv",
        toolchains={
            "zig": ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+a+f+c", "-mabi=ilp32f"),
            "riscv_gcc": ("-march=rv32imafc", "-mabi=ilp32f", "-msmall-data-limit=0"),
        },
        emulators={"qemu": ("qemu-system-riscv32", "-cpu", "rv32,d=false", "-bios", "none")},
    )
)
