"""The Cortex-M33 (Arm 100230). The manual has no cycle table, so only instruction counts are available."""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB

CORE = register(
    Core(
        name="cortex-m33",
        summary="Armv8-M Mainline: DSP instructions, single-precision FPU if the board has one",
        arch="armv8-m.main",
        features=frozenset({"dsp", "fpu"}),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m33+dsp+fp_armv8d16sp"),
            "gcc": ("-mcpu=cortex-m33", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        },
        without_fpu={
            "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m33+dsp"),
            "gcc": ("-mcpu=cortex-m33", "-mthumb", "-mfloat-abi=soft"),
        },
        emulators={"unicorn": ("CORTEX_M33",), "qemu": ("qemu-system-arm",)},
    )
)
