"""The equations compared with simulation, from the same start and at the same times: AFA, and PEPITA at some scales of its feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.studies.theory.equations import Curve, check_rate, solve
from edgeff.studies.theory.order import Start, random_start
from edgeff.studies.theory.simulation import Report, simulate

POINTS = 31
PUBLISHED_SCALE = 0.05
"""Scale of F in PEPITA's publication, as the rule's ``feedback_scale``: entries of deviation 0.05 sqrt(2 / N), here s = 0.05 sqrt(2)."""


@dataclass(frozen=True)
class Line:
    """One rule: AFA if ``feedback_scale`` is 0, else PEPITA; its equations, and a simulated curve for each seed."""

    feedback_scale: float
    theory: Curve
    simulated: Sequence[Curve]

    @property
    def rule(self) -> str:
        return "pepita" if self.feedback_scale else "afa"

    @property
    def mean(self) -> Array:
        """The generalisation error of the simulation, mean over the seeds (P,)."""
        found: Array = np.mean([curve.errors for curve in self.simulated], axis=0)
        return found

    @property
    def deviation(self) -> Array:
        """Its standard deviation over the seeds (P,); 0 for a single seed."""
        if len(self.simulated) == 1:
            return np.zeros(len(self.theory.alphas))
        found: Array = np.std([curve.errors for curve in self.simulated], axis=0, ddof=1)
        return found

    @property
    def alignment(self) -> Array:
        """The cosine between feedback and second layer in the simulation, mean over the seeds (P,)."""
        found: Array = np.mean([curve.alignments for curve in self.simulated], axis=0)
        return found

    @property
    def relative_error(self) -> Array:
        """``|mean - theory| / theory`` of the generalisation error (P,)."""
        return np.abs(self.mean / self.theory.errors - 1.0)


@dataclass(frozen=True)
class Comparison:
    """All lines, AFA first; ``bp`` and ``frozen``: the equations of gradient descent and of a fixed hidden layer (the control)."""

    start: Start
    n: int
    lr: float
    lines: Sequence[Line]
    bp: Curve
    frozen: Curve

    @property
    def alphas(self) -> Array:
        return self.bp.alphas

    def beyond_afa(self, line: Line) -> Array:
        """The distance of a line's simulation from that of AFA on the same samples: ``|mean - mean of AFA| / mean of AFA`` (P,)."""
        return np.abs(line.mean / self.lines[0].mean - 1.0)


def compare(
    n: int = 1000,
    *,
    hidden: int = 2,
    teacher: int = 2,
    lr: float = 1.0,
    seeds: int = 10,
    alpha: float = 50.0,
    feedback_scales: Sequence[float] = (PUBLISHED_SCALE, PUBLISHED_SCALE / 10),
    seed: int = 0,
    report: Report | None = None,
) -> Comparison:
    """The comparison up to ``alpha`` = steps / n, at 31 times; ``seed`` draws the start, and each seed's vectors and samples.

    All seeds start from the same order parameters as the equations, exactly. Raises BadInput for impossible arguments, Diverged if
    equations or weights do.
    """
    last = round(alpha * n) if 0.0 < alpha <= 1e6 else 0
    if last < 1:
        raise BadInput("alpha, steps over inputs", got=alpha, allowed=f"one step ({1 / max(n, 1):g}) to 1000000")
    if any(not 0.0 < scale <= 10.0 for scale in feedback_scales):
        raise BadInput("scale of the feedback", got=", ".join(f"{scale:g}" for scale in feedback_scales), allowed="above 0, to 10")
    check_rate(lr)
    start = random_start(hidden, teacher, seed)
    steps = [int(step) for step in np.unique(np.linspace(0, last, POINTS).round())]
    all_scales = (0.0, *feedback_scales)
    strengths = [scale * sqrt(2.0) for scale in all_scales]
    alphas = np.asarray(steps) / n
    theory = [solve(start, alphas, lr, "afa", strength) for strength in strengths]
    bp, frozen = (solve(start, alphas, lr, feedback) for feedback in ("bp", "frozen"))
    simulated = simulate(start, n, steps, lr, strengths, seeds, seed, report)
    lines = [Line(*parts) for parts in zip(all_scales, theory, simulated, strict=True)]
    return Comparison(start, n, lr, lines, bp, frozen)
