"""Sizes and distances -> offsets: where each tensor begins, so that the highest end is as low as can be found.

Several greedy orders are tried, from below and from above; where none of them reaches what no plan can beat, the best one is improved step
by step, by seeded chance, and the best plan met is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

CLIMBS = 8
STEPS_A_CLIMB = 200
PLACED_IN_CLIMBS = 100_000
"""Tensors placed in all climbs together: thousands of tensors have shorter ones."""
STEP_UP = 0.02
"""How likely a step is that makes the plan worse."""
Forbidden = tuple[tuple[int, int], ...]
"""Ranges (low, high): a tensor may not begin between another's offset + low and its offset + high, both excluded."""


@dataclass(frozen=True)
class Problem:
    """What is to be placed, by numbers: ``sizes`` in bytes, ``apart[i]`` those that share no byte with i, ``over[i]`` those that may.

    A pair may stand in both, where two calls say different things: then it lies apart.
    """

    sizes: Sequence[int]
    apart: Sequence[Sequence[int]]
    over: Sequence[Mapping[int, Forbidden]]

    def upside_down(self) -> Problem:
        """The same with offsets counted from the top down to the tensors' ends."""
        sizes = self.sizes
        over = [
            {j: tuple((sizes[j] - sizes[i] - high, sizes[j] - sizes[i] - low) for low, high in ranges) for j, ranges in row.items()}
            for i, row in enumerate(self.over)
        ]
        return Problem(sizes, self.apart, over)


Placement = tuple[int, list[int]]
"""The highest end, and the offset of each tensor."""


def first_fit(order: Iterable[int], problem: Problem) -> Placement:
    """Each tensor in turn at the lowest offset that those before it leave free."""
    sizes, apart, over = problem.sizes, problem.apart, problem.over
    offsets = [-1] * len(sizes)
    peak = 0
    for i in order:
        size = sizes[i]
        taken = [(offsets[j] - size, offsets[j] + sizes[j]) for j in apart[i] if offsets[j] >= 0]
        taken += [(offsets[j] + low, offsets[j] + high) for j, ranges in over[i].items() if offsets[j] >= 0 for low, high in ranges]
        taken.sort()
        offset = 0
        for low, high in taken:
            if offset <= low:
                break
            offset = max(offset, high)
        offsets[i] = offset
        peak = max(peak, offset + size)
    return peak, offsets


def best_placement(problem: Problem, orders: Sequence[Sequence[int]], bound: int) -> Placement:
    """The lowest placement by first fit in ``orders``, and on climbs from the best of them as long as it is above ``bound``."""
    best: Placement = (sum(problem.sizes), [])
    start, side = orders[0], problem
    upside_down = problem.upside_down()
    for order, view in product(orders, (problem, upside_down)):
        placement = first_fit(order, view)
        if not best[1] or placement[0] < best[0]:
            best, start, side = placement, order, view
        if best[0] <= bound:
            break
    rng = np.random.default_rng(0)
    steps = min(STEPS_A_CLIMB, PLACED_IN_CLIMBS // max(CLIMBS * len(problem.sizes), 1))
    for _ in range(CLIMBS):
        if best[0] <= bound:
            break
        best = min(best, _climb([*start], side, bound, steps, rng), key=lambda item: item[0])
    return best if side is problem else _upright(best, problem.sizes)


def _upright(placement: Placement, sizes: Sequence[int]) -> Placement:
    """A placement of the problem upside down, as one of the problem."""
    peak, offsets = placement
    return peak, [peak - offset - size for offset, size in zip(offsets, sizes, strict=True)]


def _climb(order: list[int], problem: Problem, bound: int, steps: int, rng: np.random.Generator) -> Placement:
    """The best placement on a walk from ``order``.

    In each step a tensor at the peak changes places with an earlier one that it must keep away from; a step up is taken now and then.
    """
    sizes = problem.sizes
    peak, offsets = best = first_fit(order, problem)
    for _ in range(steps):
        if best[0] <= bound:
            break
        places = [place for place, i in enumerate(order) if offsets[i] + sizes[i] == peak]
        place = places[rng.integers(len(places))]
        near = {*problem.apart[order[place]], *problem.over[order[place]]}
        earlier = [other for other in range(place) if order[other] in near] or [*range(len(order))]
        other = earlier[rng.integers(len(earlier))]
        changed = order.copy()
        changed[place], changed[other] = changed[other], changed[place]
        placement = first_fit(changed, problem)
        if placement[0] <= peak or rng.random() < STEP_UP:
            order, (peak, offsets) = changed, placement
        best = min(best, placement, key=lambda item: item[0])
    return best
