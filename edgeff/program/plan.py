"""Lifetimes -> offsets: where every tensor of a program lies in the one static arena, in bytes, before anything is built.

Variables and state come first and persist. Inputs and activations share the rest: a tensor holds its bytes from the first to the last call
that touches it, in each line. In the call that makes it, an output may lie over an input that is not needed any more, as far as
the kernel says (``kernels.overlap``).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise

from edgeff.ir import Line, MemoryPlan, Program, Tensor
from edgeff.program.codes import needs_input
from edgeff.program.distances import ALIGNMENT, Intervals, Overlaps, aligned, distances, kernel_overlaps
from edgeff.program.placing import best_placement

__all__ = ["ALIGNMENT", "ARENA_ALIGNMENT", "aligned", "consumes", "flash_tensors", "guard_bytes", "lifetimes", "line_positions", "plan"]

ARENA_ALIGNMENT = 8
GUARD_BYTES = 8


def lifetimes(program: Program) -> dict[str, Intervals]:
    """For each tensor that shares the scratch space, the inclusive spans of calls that need it, numbered through all lines in turn.

    The arguments of a line are alive from its start, its results and what it keeps to its end.
    """
    shared = program.by_role("input", "label", "target", "activation")
    spans: dict[str, list[tuple[int, int]]] = {tensor.name: [] for tensor in shared}
    start = 0
    for line in program.lines.values():
        touched: dict[str, list[int]] = {}
        for position, call in enumerate(line.calls, start):
            for name in (*call.outputs, *call.inputs):
                if name in spans:
                    touched.setdefault(name, []).append(position)
        end = start + max(len(line.calls) - 1, 0)
        for name, positions in touched.items():
            first = start if name in line.arguments else positions[0]
            last = end if name in line.results or name in line.keeps else positions[-1]
            spans[name].append((first, last))
        start += len(line.calls)
    return {name: tuple(value) for name, value in spans.items()}


def line_positions(program: Program) -> dict[str, range]:
    """The numbers of each line's calls, counted through all lines in turn."""
    ends = list(accumulate((len(line.calls) for line in program.lines.values()), initial=0))
    return {name: range(*span) for name, span in zip(program.lines, pairwise(ends), strict=True)}


def plan(program: Program, overlaps: Overlaps = kernel_overlaps) -> MemoryPlan:
    """The memory plan of ``program``: every figure exact, equal to the ELF's where ``program`` is what ``select`` gives for the core.

    ``overlaps`` says what may lie over what in a call, by default what its kernel does.
    """
    spans = {name: value for name, value in sorted(lifetimes(program).items()) if value}
    problem, bound = distances(program, spans, overlaps)
    sizes = dict(zip(spans, problem.sizes, strict=True))
    lengths = {name: sum(last - first + 1 for first, last in value) for name, value in spans.items()}
    orders = [
        sorted(spans, key=lambda n: -sizes[n]),
        sorted(spans, key=lambda n: (spans[n][0][0], -sizes[n])),
        sorted(spans, key=lambda n: -sizes[n] * lengths[n]),
        sorted(spans, key=lambda n: -lengths[n]),
    ]
    number = {name: i for i, name in enumerate(spans)}
    peak, places = best_placement(problem, [[number[name] for name in order] for order in orders], bound)
    if peak > bound:  # small numbers that outlast whole passes lie below all that comes and goes
        outlasting = sorted(spans, key=lambda n: sizes[n] / lengths[n])
        peak, places = min(
            (peak, places), best_placement(problem, [[number[name] for name in outlasting]], bound), key=lambda item: item[0]
        )
    scratch = dict(zip(spans, places, strict=True))
    offsets: dict[str, int] = {}
    saved = _lay(program.saved, 0, offsets)
    persistent = _lay((tensor for tensor in program.persistent if not tensor.saved), saved, offsets)
    offsets |= {name: persistent + offset for name, offset in scratch.items()}
    return MemoryPlan(
        arena_bytes=max(aligned(persistent + peak, ARENA_ALIGNMENT), ARENA_ALIGNMENT),
        persistent_bytes=persistent,
        saved_bytes=saved,
        flash_bytes=flash_bytes(program),
        offsets=offsets,
        lower_bound_bytes=aligned(persistent + bound, ARENA_ALIGNMENT),
        line_bytes={
            name: max((scratch[n] + sizes[n] for n in spans if any(first in line for first, _ in spans[n])), default=0)
            for name, line in line_positions(program).items()
        },
        lifetimes=spans,
    )


def _lay(tensors: Iterable[Tensor], start: int, offsets: dict[str, int]) -> int:
    """Lays tensors one after the other from ``start`` on; where the next part of the arena begins."""
    for tensor in tensors:
        offsets[tensor.name] = start
        start += aligned(tensor.size_bytes)
    return aligned(start, ARENA_ALIGNMENT)


def consumes(program: Program, memory: MemoryPlan, line: Line) -> bool:
    """Whether something else lies where the input lay once ``line`` has run."""
    if program.input not in memory.offsets:
        return False
    first = memory.offsets[program.input]
    end = first + program.tensors[program.input].size_bytes
    written = {name for call in line.calls for name in call.outputs} | {*line.arguments} - {program.input}
    places = [(memory.offsets[name], program.tensors[name].size_bytes) for name in written if name in memory.offsets]
    return any(place < end and first < place + size for place, size in places)


def guard_bytes(program: Program) -> int:
    """The static RAM beside the arena: the word that says whether the input is filled, in a program that learns from it.

    Its 8 bytes keep everything after it aligned as before.
    """
    return GUARD_BYTES if any(needs_input(program, line) for line in program.lines.values()) else 0


def flash_tensors(program: Program) -> tuple[Tensor, ...]:
    """What is linked as constants: constants, and the initial values of variables, once; not what has no data, which lies elsewhere."""
    return tuple(tensor for tensor in program.by_role("constant", "variable") if tensor.data is not None and not tensor.initial_of)


def flash_bytes(program: Program) -> int:
    """The bytes of what is linked as constants."""
    return sum(tensor.size_bytes for tensor in flash_tensors(program))
