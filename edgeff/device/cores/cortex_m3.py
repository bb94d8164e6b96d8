"""The Cortex-M3 (Arm DDI 0337)."""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB

CORE = register(
    Core(
        name="cortex-m3",
        summary="Armv7-M: no FPU, no DSP instructions",
        arch="armv7-m",
        features=frozenset(),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m3"),
            "gcc": ("-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"),
        },
        emulators={"unicorn": ("CORTEX_M3",), "qemu": ("qemu-system-arm",)},
    )
)
