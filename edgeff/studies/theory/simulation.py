"""Finite networks that learn one sample at a time: AFA as in its equations, and the actual PEPITA, with two forward passes.

The rules are those of ``equations`` and ``first_order`` before any average or expansion. PEPITA here differs
from ``edgeff.rules.pepita`` as the limit requires: erf units and one linear output, a fresh sample at each step, no momentum and
dropout, and a rate of the hidden layer that is 1/s of the output's, without which its learning would fade with s. The modulated input is
``x - s e F / sqrt(N)``; with the rule's plus sign, F and -F change places and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgeff.errors import BadInput, Diverged
from edgeff.ir import Array
from edgeff.studies.theory.equations import Curve, check_rate
from edgeff.studies.theory.order import Start

Report = Callable[[int, int], None]
_SQRT_2 = np.sqrt(2.0)
_SLOPE = np.sqrt(2.0 / np.pi)
_BATCH_BYTES = 8_000_000


@dataclass(frozen=True)
class Students:
    """Students of S seeds, each with its teacher and feedback: ``rows`` (S, K + M + 1, n), w first, ``v`` (S, K); ``scale`` s, AFA 0."""

    rows: Array
    v: Array
    scale: float

    def overlaps(self) -> Array:
        """The order parameters (S, K + M + 1, K + M + 1), exact."""
        found: Array = self.rows @ self.rows.transpose(0, 2, 1) / self.rows.shape[2]
        return found

    def learn(self, x: Array, target: Array, lr: float) -> None:
        """One step on the samples ``x`` (S, n) with the teacher's outputs ``target`` (S,): AFA if ``scale`` is 0, else PEPITA."""
        n, hidden = x.shape[1], self.v.shape[1]
        w, feedback = self.rows[:, :hidden], self.rows[:, -1]
        fields = _fields(w, x)
        h = _g(fields)
        e = (self.v * h).sum(axis=1) - target
        if self.scale:
            x = x - (self.scale / np.sqrt(n)) * e[:, None] * feedback
            modulated = _g(_fields(w, x))
            delta = (h - modulated) / self.scale
            h, e = modulated, (self.v * modulated).sum(axis=1) - target
        else:
            delta = (w @ feedback[:, :, None])[:, :, 0] / n * _SLOPE * np.exp(-0.5 * fields**2) * e[:, None]
        w -= (lr / np.sqrt(n) * delta)[:, :, None] * x[:, None, :]
        self.v[:] -= (lr / n * e)[:, None] * h


def simulate(
    start: Start, n: int, steps: Sequence[int], lr: float, scales: Sequence[float], seeds: int, seed: int = 0, report: Report | None = None
) -> list[list[Curve]]:
    """The curves of students with ``n`` inputs: for each of ``scales`` (0: AFA, else PEPITA at this s), one for each of ``seeds``.

    ``steps`` are the numbers of samples at which the order parameters are recorded, rising from 0. A seed draws vectors that have the
    overlaps of ``start`` exactly, and its samples; all scales learn from the same. ``report`` receives the steps done and to do.
    Cost: about n x (K + M) x 10 multiply-accumulates for each step, seed and scale. Raises BadInput for impossible sizes, Diverged
    for weights that are no longer finite.
    """
    size, hidden = len(start.overlaps), len(start.v)
    if n < size:
        raise BadInput("inputs of the network", got=n, allowed=f"{size} or more, for {size} independent vectors")
    if seeds < 1:
        raise BadInput("seeds", got=seeds, allowed="1 or more")
    if len(steps) < 2 or steps[0] != 0 or any(b <= a for a, b in pairwise(steps)):
        raise BadInput("recorded steps", got=f"{len(steps)} numbers", allowed="two or more, rising from 0")
    if any(not 0.0 <= scale <= 1e3 for scale in scales):
        raise BadInput("scale of the feedback", got=", ".join(map(str, scales)), allowed="0 to 1000")
    check_rate(lr)
    streams = [np.random.default_rng((seed, i)) for i in range(seeds)]
    rows = np.stack([vectors(start, n, stream) for stream in streams])
    all_students = [Students(rows.copy(), np.tile(start.v, (seeds, 1)), scale) for scale in scales]
    looks = [[(s.overlaps(), s.v.copy())] for s in all_students]
    batch = max(1, _BATCH_BYTES // (seeds * n * 8))
    done = 0
    for stop in steps[1:]:
        while done < stop:
            samples = np.stack([stream.standard_normal((min(batch, stop - done), n)) for stream in streams], axis=1)
            targets = _g(_fields_of_all(rows[:, hidden:-1], samples)) @ start.teacher_v
            with np.errstate(all="ignore"):  # values that are no longer finite are detected at the next record
                for x, target in zip(samples, targets, strict=True):
                    for s in all_students:
                        s.learn(x, target, lr)
            done += len(samples)
            if report:
                report(done, steps[-1])
        for s, look in zip(all_students, looks, strict=True):
            with np.errstate(all="ignore"):
                look.append((s.overlaps(), s.v.copy()))
            if not np.isfinite(look[-1][0]).all():
                what = f"PEPITA at scale {s.scale / _SQRT_2:g}" if s.scale else "AFA"
                raise Diverged(what, got=f"no finite weights after {done:,} steps at lr {lr:g}", next_step="lower --lr or --scale")
    times = np.asarray(steps) / n
    return [
        [Curve(times, np.stack([o[i] for o, _ in look]), np.stack([v[i] for _, v in look]), start.teacher_v) for i in range(seeds)]
        for look in looks
    ]


def vectors(start: Start, n: int, stream: np.random.Generator) -> Array:
    """Random vectors (K + M + 1, n) whose overlaps are exactly those of ``start``: orthonormal directions times the Cholesky factor."""
    directions, _ = np.linalg.qr(stream.standard_normal((n, len(start.overlaps))))
    rows: Array = np.sqrt(n) * np.linalg.cholesky(start.overlaps) @ directions.T
    return rows


def _g(fields: Array) -> Array:
    from scipy.special import erf

    activity: Array = erf(fields / _SQRT_2)
    return activity


def _fields(rows: Array, x: Array) -> Array:
    """``rows . x / sqrt(n)`` as (S, K), of rows (S, K, n) and a sample (S, n) each."""
    fields: Array = (rows @ x[:, :, None])[:, :, 0] / np.sqrt(x.shape[1])
    return fields


def _fields_of_all(rows: Array, samples: Array) -> Array:
    """The same for many samples (B, S, n), as (B, S, K)."""
    fields: Array = np.einsum("bsn,skn->bsk", samples, rows, optimize=True) / np.sqrt(samples.shape[2])
    return fields
