"""The Cortex-M0+, with its cycles from the technical reference manual (Arm DDI 0484, table 3-1), with the single-cycle multiplier.

It was not validated on a board. Left out: flash wait states (on an RP2040, misses of the flash cache) and the single-cycle I/O port.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeff.device.cores import Core, register
from edgeff.device.isa.thumb import THUMB, Instruction, decode

_FIXED = {"bl": 3, "bx": 2, "blx": 2, "mrs": 3, "msr": 3, "dmb": 3, "dsb": 3, "isb": 3}


class CortexM0PlusCycles:
    """The Cortex-M0+ with the single-cycle multiplier, at zero wait states."""

    evidence = "modelled, unvalidated"
    notes = "Arm DDI 0484 table 3-1, zero wait states, single-cycle multiplier; not compared with a board"

    decode = staticmethod(decode)

    def cycles(self, block: Sequence[Instruction], taken: bool) -> int:
        """The cycles of one pass through ``block``."""
        total = sum(_cycles(instruction) for instruction in block)
        # The table gives a conditional branch 1 cycle, and 2 when it is taken; the other branches already have their full cost.
        return total + (1 if taken and block[-1].name == "b" else 0)


def _cycles(instruction: Instruction) -> int:
    name = instruction.name
    if name in _FIXED:
        return _FIXED[name]
    if name == "pop" and instruction.branch:
        return 3 + instruction.listed
    if name in {"push", "pop"} or name.startswith(("ldm", "stm")):
        return 1 + instruction.listed
    if name.startswith(("ldr", "str")):
        return 2
    return 2 if instruction.branch and name != "b" else 1


CORE = register(
    Core(
        name="cortex-m0plus",
        summary="Armv6-M: no FPU, no division",
        arch="armv6-m",
        features=frozenset(),
        isa=THUMB,
        startup="cortex_m",
        toolchains={
            "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
            "gcc": ("-mcpu=cortex-m0plus", "-mthumb", "-mfloat-abi=soft"),
        },
        emulators={"unicorn": ("CORTEX_M0",)},  # its instructions are those of the M0+
        cycles=CortexM0PlusCycles(),
    )
)
