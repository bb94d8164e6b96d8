"""The Cortex-M7 (Arm DDI 0489) with the double-precision FPU. It issues two instructions at once, so a cycle table would not be valid."""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB

CORE = register(
    Core(
        name="cortex-m7",
        summary="Armv7E-M: DSP instructions, double-precision FPU if the board has one, two instructions at once",
        arch="armv7e-m",
        features=frozenset({"dsp", "fpu"}),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16"),
            "gcc": ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
        },
        without_fpu={
            "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m7"),
            "gcc": ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=soft"),
        },
        emulators={"unicorn": ("CORTEX_M7",), "qemu": ("qemu-system-arm",)},
    )
)
