"""The Cortex-M55 with Helium (Arm 101051). The manual has no table of cycles, so counts of instructions are all there is.

Compilers may use Helium for integers, not for float32: its vectors flush denormals to zero and have one NaN (Armv8-M ARM, "Flush-to-zero"),
so a loop that a compiler vectorised would give other bits than the same loop on the scalar FPU.
"""

from __future__ import annotations

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB

CORE = register(
    Core(
        name="cortex-m55",
        summary="Armv8.1-M Mainline: Helium on integers, DSP instructions, FPU",
        arch="armv8.1-m.main",
        features=frozenset({"dsp", "fpu", "mve"}),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m55+mve+fp_armv8d16-mve_fp"),
            "gcc": ("-mcpu=cortex-m55+nomve.fp", "-mthumb", "-mfloat-abi=hard"),
        },
        emulators={"qemu": ("qemu-system-arm",)},
    )
)
