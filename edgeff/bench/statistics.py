"""What is said of one rule over several seeds: how many ended, their mean, and the difference to the control of the same seeds.

Results by seed come in, None for a run that diverged; nothing that diverged is left out of a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import TypeVar

CONFIDENCE = 0.95
Seed = TypeVar("Seed")


@dataclass(frozen=True)
class Summary:
    """One rule over its seeds: the values of those that ended, and how many diverged."""

    values: tuple[float, ...]
    diverged: int = 0

    @property
    def runs(self) -> int:
        return len(self.values) + self.diverged

    @property
    def counted(self) -> str:
        """How many seeds the mean is of.

        >>> Summary((97.0, 98.0)).counted, Summary((97.0, 98.0), 1).counted
        ('2', '2 of 3, 1 diverged')
        """
        return f"{len(self.values)} of {self.runs}, {self.diverged} diverged" if self.diverged else f"{self.runs}"

    def shown(self, digits: int = 1) -> str:
        """The mean, with the standard deviation where there are several values.

        >>> Summary((97.0, 98.0)).shown(), Summary((97.0,)).shown(), Summary((), 2).shown()
        ('97.5 ± 0.7', '97.0', '-')
        """
        if not self.values:
            return "-"
        return f"{fmean(self.values):.{digits}f}" + (f" ± {stdev(self.values):.{digits}f}" if len(self.values) > 1 else "")


@dataclass(frozen=True)
class Difference:
    """The mean of the differences of paired runs; ``half`` is half the width of its 95 % interval, None for a single pair."""

    mean: float
    half: float | None
    pairs: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.half is not None and abs(self.mean) > self.half

    def shown(self) -> str:
        """The difference with its interval.

        >>> Difference(2.0, 1.24, 5).shown(), Difference(-2.0, None, 1).shown()
        ('+2.0 (+0.8 to +3.2)', '-2.0 (1 pair)')
        """
        if self.half is None:
            return f"{self.mean:+.1f} (1 pair)"
        return f"{self.mean:+.1f} ({self.mean - self.half:+.1f} to {self.mean + self.half:+.1f})"


def summary(results: Mapping[Seed, float | None]) -> Summary:
    """The results of one rule by seed."""
    values = tuple(value for value in results.values() if value is not None)
    return Summary(values, len(results) - len(values))


def paired_difference(results: Mapping[Seed, float | None], control: Mapping[Seed, float | None]) -> Difference | None:
    """How far ``results`` are above ``control``, over the seeds at which both ended; None without such a seed.

    The interval is Student's: it takes the differences for draws from a normal distribution. It says nothing of seeds that diverged.

    >>> paired_difference({0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0}).shown()
    '+3.0 (+0.5 to +5.5)'
    """
    from scipy.stats import t

    pairs = [(value, other) for seed, value in results.items() if value is not None and (other := control.get(seed)) is not None]
    differences = [value - other for value, other in pairs]
    if not differences:
        return None
    if len(differences) == 1:
        return Difference(differences[0], None, 1)
    count = len(differences)
    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * stdev(differences) / sqrt(count)
    return Difference(fmean(differences), half, count)
