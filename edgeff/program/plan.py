"""Lifetimes -> offsets: where every tensor of a program lies in the one static arena, in bytes, before anything is built.

Variables and state come first and persist. Inputs and activations share the rest: a tensor holds its bytes from the first to the last call
that touches it, in each line. Several greedy orders are tried; where none of them reaches what no plan can beat
(``lower_bound_bytes``), the best one is improved step by step, by seeded chance, and the best plan seen is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from edgeff.ir import MemoryPlan, Program, Tensor

ALIGNMENT = 4
ARENA_ALIGNMENT = 8
CLIMBS = 8
STEPS_A_CLIMB = 200
STEP_UP = 0.02
Intervals = tuple[tuple[int, int], ...]


def aligned(size_bytes: int, alignment: int = ALIGNMENT) -> int:
    """``size_bytes`` rounded up to the alignment.

    >>> aligned(5)
    8
    """
    return -(-size_bytes // alignment) * alignment


def lifetimes(program: Program) -> dict[str, Intervals]:
    """For each tensor that shares the scratch space, the inclusive spans of calls that need it, numbered through all lines in turn.

    The arguments of a line are alive from its start, its results to its end.
    """
    shared = program.by_role("input", "label", "activation")
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
            last = end if name in line.results else positions[-1]
            spans[name].append((first, last))
        start += len(line.calls)
    return {name: tuple(value) for name, value in spans.items()}


def _overlap(a: Intervals, b: Intervals) -> bool:
    return any(first <= other_last and other_first <= last for first, last in a for other_first, other_last in b)


def _place(order: Iterable[str], sizes: Mapping[str, int], conflicts: Mapping[str, set[str]]) -> tuple[int, dict[str, int]]:
    """First fit: each tensor at the lowest offset free of those it conflicts with."""
    offsets: dict[str, int] = {}
    peak = 0
    for name in order:
        taken = sorted((offsets[other], offsets[other] + sizes[other]) for other in conflicts[name] if other in offsets)
        offset = 0
        for first, last in taken:
            if offset + sizes[name] <= first:
                break
            offset = max(offset, last)
        offsets[name] = offset
        peak = max(peak, offset + sizes[name])
    return peak, offsets


def _best(
    orders: Sequence[list[str]], sizes: Mapping[str, int], conflicts: Mapping[str, set[str]], bound: int
) -> tuple[int, dict[str, int]]:
    """The lowest of the placements of ``orders``; as long as it is above ``bound``, of climbs from the best of them too."""
    found = [(_place(order, sizes, conflicts), order) for order in orders]
    best, start = min(found, key=lambda item: item[0][0])
    rng = np.random.default_rng(0)
    for _ in range(CLIMBS):
        if best[0] <= bound:
            break
        best = min(best, _climb(start, sizes, conflicts, bound, rng), key=lambda item: item[0])
    return best


def _climb(
    order: list[str], sizes: Mapping[str, int], conflicts: Mapping[str, set[str]], bound: int, rng: np.random.Generator
) -> tuple[int, dict[str, int]]:
    """The best placement on a walk from ``order``.

    In each step a tensor at the peak changes places with an earlier one that it conflicts with; a step up is taken now and then.
    """
    peak, offsets = best = _place(order, sizes, conflicts)
    for _ in range(STEPS_A_CLIMB):
        if best[0] <= bound:
            break
        places = [place for place, name in enumerate(order) if offsets[name] + sizes[name] == peak]
        place = places[rng.integers(len(places))]
        earlier = [other for other in range(place) if order[other] in conflicts[order[place]]] or [*range(len(order))]
        other = earlier[rng.integers(len(earlier))]
        changed = order.copy()
        changed[place], changed[other] = changed[other], changed[place]
        found = _place(changed, sizes, conflicts)
        if found[0] <= peak or rng.random() < STEP_UP:
            order, (peak, offsets) = changed, found
        best = min(best, found, key=lambda item: item[0])
    return best


def largest_live_set(spans: Mapping[str, Intervals], sizes: Mapping[str, int], positions: range) -> int:
    """The most bytes alive at any one of the calls in ``positions``."""
    return max((sum(sizes[n] for n, s in spans.items() if any(a <= p <= b for a, b in s)) for p in positions), default=0)


def line_positions(program: Program) -> dict[str, range]:
    """The numbers of each line's calls, counted through all lines in turn."""
    ends = list(accumulate((len(line.calls) for line in program.lines.values()), initial=0))
    return {name: range(*span) for name, span in zip(program.lines, pairwise(ends), strict=True)}


def plan(program: Program) -> MemoryPlan:
    """The memory plan of ``program``: every figure exact, equal to the ELF's."""
    spans = {name: value for name, value in lifetimes(program).items() if value}
    sizes = {name: aligned(program.tensors[name].size_bytes) for name in spans}
    conflicts = {a: {b for b in spans if b != a and _overlap(spans[a], spans[b])} for a in spans}
    positions = line_positions(program)
    bound = max(largest_live_set(spans, sizes, line) for line in positions.values())
    names = sorted(spans)
    orders = [
        sorted(names, key=lambda n: -sizes[n]),
        sorted(names, key=lambda n: (spans[n][0][0], -sizes[n])),
        sorted(names, key=lambda n: -sizes[n] * sum(b - a + 1 for a, b in spans[n])),
        sorted(names, key=lambda n: -sum(b - a + 1 for a, b in spans[n])),
    ]
    peak, scratch = _best(orders, sizes, conflicts, bound)
    offsets: dict[str, int] = {}
    persistent = 0
    for tensor in (*program.by_role("variable"), *program.by_role("state")):
        offsets[tensor.name] = persistent
        persistent += aligned(tensor.size_bytes)
    persistent = aligned(persistent, ARENA_ALIGNMENT)
    offsets |= {name: persistent + offset for name, offset in scratch.items()}
    return MemoryPlan(
        arena_bytes=max(aligned(persistent + peak, ARENA_ALIGNMENT), ARENA_ALIGNMENT),
        persistent_bytes=persistent,
        flash_bytes=sum(t.size_bytes for t in flash_tensors(program)),
        offsets=offsets,
        lower_bound_bytes=aligned(persistent + bound, ARENA_ALIGNMENT),
        line_bytes={
            name: max((scratch[n] + sizes[n] for n in spans if any(a in line for a, _ in spans[n])), default=0)
            for name, line in positions.items()
        },
        lifetimes=spans,
    )


def flash_tensors(program: Program) -> tuple[Tensor, ...]:
    """What is linked as constants: constants, and the initial values of variables."""
    return program.by_role("constant", "variable")
