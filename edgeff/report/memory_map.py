"""Program + memory plan -> the rectangles of its memory map: which tensor holds which bytes of the arena during which calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeff.ir import MemoryPlan, Program


def memory_map(program: Program, plan: MemoryPlan) -> tuple[Mapping[str, Any], ...]:
    """One mapping for each stay of a tensor in the arena, by offset and then by time.

    ``tensor``, ``role`` and ``layer`` are the tensor's; ``line`` is ``infer``, ``learn`` or ``persistent`` (variables and state);
    ``offset`` (from the arena's start) and ``size_bytes`` are bytes, without the padding up to the alignment; ``first`` and ``last`` are
    the calls of the stay, both included, in the plan's numbering: ``learn`` follows ``infer``, and what persists spans them all.
    """
    calls = len(program.infer) + len(program.learn)
    stays: list[dict[str, Any]] = []
    for name, offset in plan.offsets.items():
        tensor = program.tensors[name]
        spans = plan.lifetimes.get(name)
        for first, last in spans or ((0, max(calls - 1, 0)),):
            line = "persistent" if spans is None else "infer" if first < len(program.infer) else "learn"
            stays.append(
                {
                    "tensor": name,
                    "role": tensor.role,
                    "layer": tensor.layer,
                    "line": line,
                    "offset": offset,
                    "size_bytes": tensor.size_bytes,
                    "first": first,
                    "last": last,
                }
            )
    return tuple(sorted(stays, key=lambda stay: (stay["offset"], stay["first"], stay["tensor"])))
