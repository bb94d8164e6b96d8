"""Results by seed -> the cells that every table of accuracies has: mean and deviation, seeds, the difference to the control.

``†`` marks what is stale: measured on a working tree that no commit has, or with settings that are not the benchmark's any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results import is_stale

from edgeff.bench.statistics import paired_difference, summary

Results = Mapping[int, float | None]
"""Per cent by seed; None for a run that diverged."""
HEADS = ("accuracy, %", "seeds", "above frozen (95 %)")
NAMES = {
    "bp": "BP",
    "dfa": "DFA",
    "pepita": "PEPITA",
    "frozen": "**frozen hidden layers** (control)",
    "majority": "the largest class",
}
PROTOCOL = "protocol"
STALE = "†"
NOTE = f"{STALE} of a working tree that no commit has, or of settings that are not the benchmark's any more: to be run again."


def cells(results: Results, control: Results | None) -> list[str]:
    """The mean with its deviation, how many seeds ended and diverged, and the paired difference to ``control`` with its interval."""
    over = summary(results)
    difference = None if control is None else paired_difference(results, control)
    return [over.shown(), over.counted, "-" if difference is None else difference.shown()]


def marked(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """``name``, with a mark if a row is stale."""
    return f"{name} {STALE}" if any(is_stale(dict(row)) for row in rows) else name


def by_seed(values: Sequence[float | None]) -> dict[int, float | None]:
    """Results in the order of their seeds, from 0."""
    return dict(enumerate(values))


def of_rows(rows: Iterable[Mapping[str, Any]]) -> dict[int, float | None]:
    """The results of rows whose key ends with the seed."""
    return {int(row["key"][-1]): row["accuracy"] for row in rows}


def percent(row: Mapping[str, Any]) -> float | None:
    """The float accuracy of a point of ``rules.json``, None for one that has none."""
    share = row["run"].get("accuracy", {}).get("float")
    return None if share is None else 100 * float(share)


def with_note(table: str) -> str:
    """The table, with what the mark means where it stands in it."""
    return f"{table}\n\n{NOTE}" if STALE in table else table
