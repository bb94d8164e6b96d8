"""A program's memory, tensor by tensor over its calls, for pictures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeff.ir import PERSISTENT, MemoryPlan, Program
from edgeff.program.plan import aligned


def memory_map(program: Program, memory: MemoryPlan) -> tuple[Mapping[str, Any], ...]:
    """One entry for each tensor in the arena and each span of its life: ``tensor, role, layer, line, offset, size_bytes, first, last``.

    ``line`` is ``persistent`` or the line's name; ``first`` and ``last`` number the calls through all lines in turn.
    Two entries share bytes in one call at most, the last of the one and the first of the other: there an output lies over an input.
    """
    calls = len(program.calls)
    entries: list[Mapping[str, Any]] = []
    for name, offset in memory.offsets.items():
        tensor = program.tensors[name]
        persistent = tensor.role in PERSISTENT
        spans = ((0, max(calls - 1, 0)),) if persistent else memory.lifetimes[name]
        for first, last in spans:
            line = "persistent" if persistent else program.place(first)[0]
            entries.append(
                {
                    "tensor": name,
                    "role": tensor.role,
                    "layer": tensor.layer,
                    "line": line,
                    "offset": offset,
                    "size_bytes": aligned(tensor.size_bytes),
                    "first": first,
                    "last": last,
                }
            )
    return tuple(entries)
