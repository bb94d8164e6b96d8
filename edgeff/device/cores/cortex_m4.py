"""The Cortex-M4, with its cycles and those of its FPU from the technical reference manual (Arm 100166, table 3-1 and the FPU's table).

Against published measurements of int8 inference on a NUCLEO-L4R5ZI the model was between 19 % low and 7 % high. Left out: flash wait
states, the folding of IT (counted as 1), the extra cycle if the next instruction needs an FPU result, and early termination of a
division (counted as its longest, 12). A taken branch refills the pipeline in P = 2 of the manual's 1 to 3 cycles.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB, Instruction, decode

_REFILL = 2
_DIVISION = 12
_LONG = {"vdiv": 14, "vsqrt": 14, "sdiv": _DIVISION, "udiv": _DIVISION, "pld": 2, "tbb": 2, "tbh": 2}
_FUSED = frozenset({"vmla", "vmls", "vnmla", "vnmls", "vfma", "vfms", "vfnma", "vfnms"})
_MULTIPLE = ("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")
_PAIRS = frozenset({"ldrd", "strd"})


class CortexM4Cycles:
    """The Cortex-M4, with or without FPU, at zero wait states."""

    evidence = "modelled, unvalidated"
    notes = "Arm 100166 table 3-1, zero wait states, branch refill 2; no measurement on a board is in this repository"

    decode = staticmethod(decode)

    def cycles(self, block: Sequence[Instruction], taken: bool) -> int:
        """The cycles of one pass through ``block``."""
        total, previous = 0, None
        for instruction in block:
            skipped = instruction.branch and instruction.conditional and not taken
            total += 1 if skipped else _cycles(instruction, previous)
            previous = instruction
        return total + (_REFILL if taken else 0)


def _cycles(instruction: Instruction, previous: Instruction | None) -> int:
    name = instruction.name
    if name in _LONG:
        return _LONG[name]
    if name in _FUSED:
        return 3
    if name in _PAIRS:
        return 3
    if name.startswith(_MULTIPLE):
        return 1 + instruction.listed
    if _single_load(instruction):
        follows = previous is not None and _single_load(previous) and not previous.writes & instruction.reads
        return 1 if follows else 2
    if name in {"vldr", "vstr"}:
        return 3 if _double(instruction) else 2
    if name.startswith("str"):
        return 2 if instruction.indexed else 1
    if name == "vmov":
        return 2 if len(_core_registers(instruction)) == 2 else 1
    return 1


def _single_load(instruction: Instruction) -> bool:
    if instruction.name == "vldr":
        return not _double(instruction)
    return instruction.name.startswith("ldr") and instruction.name not in _PAIRS


def _core_registers(instruction: Instruction) -> frozenset[str]:
    """The registers of an instruction except those of the FPU, which are named s0 or d0."""
    return frozenset(r for r in instruction.reads | instruction.writes if not (r[0] in "sd" and r[1:].isdigit()))


def _double(instruction: Instruction) -> bool:
    return any(register[0] == "d" for register in instruction.reads | instruction.writes)


CORE = register(
    Core(
        name="cortex-m4",
        summary="Armv7E-M: DSP instructions, single-precision FPU if the board has one",
        arch="armv7e-m",
        features=frozenset({"dsp", "fpu"}),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"),
            "gcc": ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        },
        without_fpu={
            "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4"),
            "gcc": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"),
        },
        emulators={"unicorn": ("CORTEX_M4",), "qemu": ("qemu-system-arm",)},
        cycles=CortexM4Cycles(),
    )
)
