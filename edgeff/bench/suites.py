"""The comparisons by name, and the choice of their configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from edgeff.bench import mlperf_tiny
from edgeff.bench.learning import digits_suite
from edgeff.bench.rules import rule_points
from edgeff.errors import BadInput
from edgeff.ir import Trace


class Runnable(Protocol):
    """A configuration: ``name`` is the name of its result file."""

    @property
    def name(self) -> str: ...

    def run(self) -> Trace:
        """The trace of this configuration."""


@dataclass(frozen=True)
class Wishes:
    """The options of a suite: the first seed, the folder of model files, and patterns for the names to run."""

    seed: int = 0
    models: Path | None = None
    only: tuple[str, ...] = ()


Suite = Callable[[Wishes], Sequence[Runnable]]

SUITES: Mapping[str, Suite] = {
    "digits": lambda wishes: digits_suite(first_seed=wishes.seed),
    "mlperf-tiny": lambda wishes: mlperf_tiny.points(wishes.models, wishes.seed),
    "rules": lambda wishes: rule_points(wishes.seed),
}


def configurations(suite: Suite, wishes: Wishes) -> list[Runnable]:
    """The configurations of a suite whose names match one of the patterns. Raises BadInput if none does."""
    every = suite(wishes)
    chosen = [item for item in every if not wishes.only or any(fnmatchcase(item.name, pattern) for pattern in wishes.only)]
    if not chosen:
        raise BadInput(
            "option --only", got=", ".join(wishes.only), allowed=f"a pattern such as '*-int8-*' for names such as {every[0].name}"
        )
    return chosen
