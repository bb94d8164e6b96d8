"""The Cortex-M55 with Helium (Arm 101051). The manual has no cycle table, so only instruction counts are available.

Compilers vectorise plain loops over integers, but not over float32: QEMU's Helium flushes denormals there, so the bits would not be
those of the scalar loop. A test checks this.
"""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB

CORE = register(
    Core(
        name="cortex-m55",
        summary="Armv8.1-M Mainline: Helium on integers and float32, DSP instructions, FPU",
        arch="armv8.1-m.main",
        features=frozenset({"dsp", "fpu", "mve"}),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m55-mve_fp+mve+fp_armv8d16"),
            "gcc": ("-mcpu=cortex-m55+nomve.fp", "-mthumb", "-mfloat-abi=hard"),
        },
        emulators={"qemu": ("qemu-system-arm",)},
    )
)
