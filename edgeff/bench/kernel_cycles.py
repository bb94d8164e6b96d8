"""Cycles of a line before anything is built: those of its kernels, counted in other programs on an emulated core.

``kernel_cycles.json``, which ``benchmarks/kernel_cycles.py`` makes, has for each core and kernel (with its variant) the modelled cycles for
each multiply-accumulate, or for each element written by a kernel that multiplies nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from edgeff import registry
from edgeff.ir import Call, Program

FILE = Path(__file__).with_name("kernel_cycles.json")


@cache
def cores() -> Mapping[str, Mapping[str, float]]:
    """Cycles for each unit of work, by core and kernel."""
    found: dict[str, dict[str, float]] = json.loads(FILE.read_text(encoding="utf-8"))["cores"]
    return found


def kernel_of(call: Call) -> str:
    """The kernel of a call, with a dot and the variant if it has one: the key in ``cores()[core]``."""
    return f"{call.kernel}.{call.variant}" if call.variant else call.kernel


def work_of(program: Program, call: Call) -> int:
    """The multiply-accumulates of a call, or if it has none the elements that it writes; 1 or more."""
    macs = registry.kernels[call.kernel].macs(call.attrs)
    return max(macs or sum(program.tensors[name].elements for name in call.outputs), 1)


def cycles_of(program: Program, line: str, core: str) -> int | None:
    """The modelled cycles of a line on ``core`` (``cortex-m4``), for which the program's variants have been selected.

    None for a core, or with a kernel, of which nothing was counted.
    """
    known, total = cores().get(core, {}), 0.0
    for call in program.lines[line].calls:
        each = known.get(kernel_of(call))
        if each is None:
            return None
        total += each * work_of(program, call)
    return round(total)
