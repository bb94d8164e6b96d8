"""The Cortex-M0 (Arm DDI 0432): the instructions of the M0+, one more pipeline stage."""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB

CORE = register(
    Core(
        name="cortex-m0",
        summary="Armv6-M: no FPU, no division",
        arch="armv6-m",
        features=frozenset(),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0"),
            "gcc": ("-mcpu=cortex-m0", "-mthumb", "-mfloat-abi=soft"),
        },
        emulators={"unicorn": ("CORTEX_M0",), "qemu": ("qemu-system-arm",)},
    )
)
