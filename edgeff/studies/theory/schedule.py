"""When to replay: the schedule of two tasks by optimal control, from the equations of learning with many inputs.

A student with K hidden units and a second layer for each task has learned a first task and now learns a second one. At any time a share p
of the steps goes to the first task again. Each task's truth is a teacher of one unit, ``y*_t = g(u_t . x / sqrt(N))``, and the overlap of
both is how much alike they are. The order parameters are the Gram matrix of the rows w_1 .. w_K, u_1, u_2 over N, and both second layers;
a step of gradient descent on task t changes them by the equations of ``edgeff.studies.theory.equations`` with the feedback v_t, and steps
that alternate at random by the mean of both, weighted with p and 1 - p.

The optimal schedule is the p(alpha), constant on some segments, that ends with the least sum of both errors, under a given mean of p or
any. Source: Mori, Sarao Mannelli & Mignacco 2024, who solve Pontryagin's conditions; here the discretised problem is minimised directly
(SLSQP of SciPy, differences in the place of the adjoint equations). Lee, Goldt & Saxe (2021) for the two teachers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from edgeff.errors import BadInput, Diverged
from edgeff.ir import Array
from edgeff.studies.theory import equations
from edgeff.studies.theory.order import generalisation_error

TASKS = 2
STEP = 1.0
"""The longest step in alpha of the Runge-Kutta method (fourth order)."""
LATE_SHARE = 0.25
"""The part of the time at its end into which ``late`` puts its replay, or as much more as it needs."""
MOST_ITERATIONS = 60
LARGEST_COUNT = 255
"""What a byte of a device's table holds."""


@dataclass(frozen=True)
class Tasks:
    """Where the second task begins, and how it is learned: ``overlaps`` (K + 2, K + 2) and second layers ``v`` (2, K), float64; the rate
    ``lr`` and the time ``alpha``, steps / N, for which it is learned.
    """

    overlaps: Array
    v: Array
    lr: float
    alpha: float


@dataclass(frozen=True)
class Schedule:
    """Shares of replay (S,) on segments of equal length, from 0 to 1, and both tasks' generalisation errors (S + 1, 2) at their ends."""

    name: str
    shares: Array
    errors: Array

    @property
    def loss(self) -> float:
        """The sum of both errors in the end."""
        return float(self.errors[-1].sum())


def after_first_task(
    similarity: float, *, hidden: int = 2, lr: float = 1.0, first: float = 100.0, alpha: float = 20.0, seed: int = 0
) -> Tasks:
    """The student after ``first`` of task one alone.

    ``similarity`` is the cosine of both teachers; the student's rows begin nearly at right angles to them and to each other, as random
    ones in many inputs do, its second layers small. Raises BadInput for values out of range.
    """
    for name, value, low, high in (("similarity", similarity, -0.99, 0.99), ("rate", lr, 1e-3, 10.0), ("time", alpha, 1e-3, 1e4)):
        if not low <= value <= high:
            raise BadInput(f"{name} of two tasks", got=value, allowed=f"{low:g} to {high:g}")
    rng = np.random.default_rng([seed, 8])
    rows = np.zeros((hidden + TASKS, 1000))
    rows[:hidden] = 0.5 * rng.standard_normal((hidden, 1000))
    u, other = rng.standard_normal((TASKS, 1000))
    u *= np.sqrt(1000) / np.linalg.norm(u)
    other -= u * (other @ u) / 1000
    other *= np.sqrt(1000) / np.linalg.norm(other)
    rows[hidden], rows[hidden + 1] = u, similarity * u + np.sqrt(1 - similarity**2) * other
    gram = rows @ rows.T / 1000
    start = Tasks((gram + gram.T) / 2, 0.1 * rng.standard_normal((TASKS, hidden)), lr, first)
    overlaps, v = _end(start, np.ones(1))
    return Tasks(overlaps, v, lr, alpha)


def task_errors(overlaps: Array, v: Array) -> Array:
    """The generalisation error of each task, (2,)."""
    return np.array([generalisation_error(overlaps, v[task], truth) for task, truth in enumerate(np.eye(TASKS))])


def rates(overlaps: Array, v: Array, task: int, lr: float) -> tuple[Array, Array]:
    """The derivatives by alpha of ``overlaps`` and ``v`` while ``task`` is learned, in their shapes.

    Both teachers are one whose second layer has a 1 for the task's and a 0 for the other's.
    """
    of_v = np.zeros_like(v)
    change, of_v[task] = equations.rates(overlaps, v[task], np.eye(TASKS)[task], lr, "bp")
    return change, of_v


def followed(tasks: Tasks, shares: Sequence[float] | Array, name: str = "") -> Schedule:
    """What a schedule of replay leads to. Raises Diverged where the equations do."""
    errors = [task_errors(tasks.overlaps, tasks.v)]
    _end(tasks, np.asarray(shares, np.float64), lambda overlaps, v: errors.append(task_errors(overlaps, v)))
    return Schedule(name, np.asarray(shares, np.float64), np.array(errors))


def uniform(segments: int, mean: float) -> Array:
    """The same share at all times."""
    return np.full(segments, mean)


def late(segments: int, mean: float) -> Array:
    """All replay at the end, within the last quarter if it fits there.

    >>> late(8, 0.25).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    """
    count = max(ceil(LATE_SHARE * segments), ceil(mean * segments))
    shares = np.zeros(segments)
    shares[segments - count :] = mean * segments / count
    return shares


def optimal(
    tasks: Tasks, segments: int = 16, mean: float | None = None, say: Callable[[int, int], None] = lambda _done, _total: None
) -> Schedule:
    """The schedule with the least sum of both errors in the end, for a ``mean`` share of replay or (None) any.

    It starts from the better of ``uniform`` and ``late``; a local minimum, no better than they are at worst.
    """
    from scipy.optimize import minimize

    starts = [make(segments, 0.5 if mean is None else mean) for make in (uniform, late)]
    begin = min(starts, key=lambda shares: followed(tasks, shares).loss)
    limits = [] if mean is None else [{"type": "eq", "fun": lambda shares: np.mean(shares) - mean}]
    done = 0

    def count(_shares: Array) -> None:
        nonlocal done
        done += 1
        say(done, MOST_ITERATIONS)

    found = minimize(
        lambda shares: followed(tasks, np.clip(shares, 0.0, 1.0)).loss,
        begin,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * segments,
        constraints=limits,
        callback=count,
        options={"maxiter": MOST_ITERATIONS, "ftol": 1e-9, "eps": 1e-4},
    )
    best = followed(tasks, np.clip(found.x, 0.0, 1.0), "optimal")
    return min((best, followed(tasks, begin, "optimal")), key=lambda schedule: schedule.loss)


def table_of(shares: Array, new: int) -> list[int]:
    """Replay steps after each of ``new`` samples, 0 to 255: all segments have as many steps, of which a share replays.

    Raises BadInput for a segment with so little but replay that more than 255 steps would come after one sample.

    >>> table_of(np.array([0.0, 0.5]), 6), table_of(np.array([0.2]), 8)
    ([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 0, 0, 1])
    """
    mean = float(np.mean(shares))
    if mean > LARGEST_COUNT * (1.0 - mean):
        raise BadInput("table of a schedule", got=f"a share of {mean:g} on average", allowed=f"at most {LARGEST_COUNT} steps a sample")
    steps = round(new / (1.0 - mean))
    counts, credit, early, learned = [0] * new, 0.0, 0, 0
    for step in range(steps):
        credit += float(shares[step * len(shares) // steps])
        if credit < 1.0 - 1e-9 and learned < new:
            learned += 1
        elif learned:
            credit -= 1.0
            counts[learned - 1] += 1
        else:
            credit, early = credit - 1.0, early + 1
    counts[0] += early
    if max(counts) > LARGEST_COUNT:
        raise BadInput("table of a schedule", got=f"{max(counts)} replay steps after one sample", allowed=f"at most {LARGEST_COUNT}")
    return counts


def _end(tasks: Tasks, shares: Array, after: Callable[[Array, Array], object] = lambda _overlaps, _v: None) -> tuple[Array, Array]:
    """The order parameters at the end; ``after`` gets those after each segment."""
    overlaps, v, length = tasks.overlaps, tasks.v, tasks.alpha / len(shares)
    count = ceil(length / STEP)
    h = length / count

    def change(overlaps: Array, v: Array, share: float) -> tuple[Array, Array]:
        parts = [(p, rates(overlaps, v, task, tasks.lr)) for task, p in enumerate((share, 1.0 - share)) if p > 0.0]
        of_overlaps, of_v = np.zeros_like(overlaps), np.zeros_like(v)
        for p, (more, more_v) in parts:
            of_overlaps, of_v = of_overlaps + p * more, of_v + p * more_v
        return of_overlaps, of_v

    with np.errstate(all="ignore"):
        for share in shares:
            for _ in range(count):
                a, b = change(overlaps, v, share)
                c, d = change(overlaps + h / 2 * a, v + h / 2 * b, share)
                e, f = change(overlaps + h / 2 * c, v + h / 2 * d, share)
                i, j = change(overlaps + h * e, v + h * f, share)
                overlaps, v = overlaps + h / 6 * (a + 2 * c + 2 * e + i), v + h / 6 * (b + 2 * d + 2 * f + j)
            if not np.isfinite(overlaps).all() or np.abs(overlaps).max() > 1e6:
                raise Diverged("the equations of two tasks", got=f"no solution at rate {tasks.lr:g}", next_step="lower the rate")
            after(overlaps, v)
    return overlaps, v
