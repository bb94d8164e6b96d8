"""Accuracies that were measured, from ``measured.json``, which ``benchmarks/measured.py`` makes of the files of benchmarks/results.

A combination that is not there has no accuracy (None). What can be said of it is how far a rule in a numeric stood, on other networks and
tasks of the same kind, below the best: ``expected_loss``, by which ``edgeff.bench.fit`` puts such combinations in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

FILE = Path(__file__).with_name("measured.json")
CONVOLUTIONAL, DENSE = "convolutional", "dense"
WORST = 0.5
"""The loss of accuracy that is expected of a rule of which nothing was measured."""


@dataclass(frozen=True)
class Measured:
    """Mean accuracy on test samples, a share, over ``seeds`` runs, with their deviation (None for one).

    ``kind`` is convolutional or dense; ``schedule`` is empty, or ``blocks`` where one block learned at a time; ``learned`` says where.
    """

    task: str
    network: str
    kind: str
    rule: str
    numeric: str
    accuracy: float
    deviation: float | None
    seeds: int
    learned: str
    source: str
    schedule: str = ""

    @property
    def evidence(self) -> str:
        """Seeds, where it learned and the results file, as one line for the user."""
        return f"measured: {self.seeds} seed{'s' if self.seeds > 1 else ''}, {self.learned}; {self.source}"


@cache
def table() -> tuple[Measured, ...]:
    """All rows."""
    rows: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    return tuple(Measured(**row) for row in rows)


def find(task: str, network: str, rule: str, numeric: str, schedule: str = "", rows: Iterable[Measured] | None = None) -> Measured | None:
    """The row of a combination, None where it was not measured; one learned by the device's C before one of the host."""
    wanted = (task, network, rule, numeric, schedule)
    found = [row for row in (table() if rows is None else rows) if (row.task, row.network, row.rule, row.numeric, row.schedule) == wanted]
    return min(found, key=lambda row: "device" not in row.learned, default=None)


def expected_loss(rule: str, numeric: str, kind: str, schedule: str = "", rows: Iterable[Measured] | None = None) -> float:
    """By how much the accuracy of a rule stood below the best on the same network and task, the median over those of ``kind``.

    Of the other kind, or in another numeric, where nothing else was measured; ``WORST`` where the rule is unknown.
    """
    known = tuple(table() if rows is None else rows)
    best: dict[tuple[str, str], float] = {}
    for row in known:
        best[row.task, row.network] = max(best.get((row.task, row.network), 0.0), row.accuracy)
    of_rule = [row for row in known if (row.rule, row.schedule) == (rule, schedule)] or [row for row in known if row.rule == rule]
    for fitting in (
        [row for row in of_rule if (row.numeric, row.kind) == (numeric, kind)],
        [row for row in of_rule if row.kind == kind],
        of_rule,
    ):
        if fitting:
            return median(best[row.task, row.network] - row.accuracy for row in fitting)
    return WORST
