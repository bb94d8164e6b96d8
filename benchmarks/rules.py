"""Every rule beside every other: the suite of ``edgeff bench rules``, a point a row, for the README's tables.

``EDGEFF_DATA_DIR=.. python benchmarks/rules.py [TASK ..] [--fresh]`` -> ``benchmarks/results/rules.json``. All rules of a seed come before
the next seed, so that a sweep that is stopped has whole comparisons. The settings are the rules' own for 64-32-10, and ``RECIPES`` of
``edgeff/networks/cnn_small.py``, which says how they were chosen. The test part is read once a row.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from results import collect

from edgeff.bench.rules import COMPARED, SEEDS, RulePoint, rule_points
from edgeff.report.record import run_json


def measure(task: str, network: str, rule: str, seed: int) -> dict[str, Any]:
    """The point's trace as in ``report.json``, without what is unknown, and the seconds it took."""
    started = time.perf_counter()
    run = run_json(RulePoint(task, network, rule, seed).run())
    return {"run": known(run), "seconds": round(time.perf_counter() - started)}


def known(value: dict[str, Any]) -> dict[str, Any]:
    """A mapping without entries that are None or empty."""
    made = {key: known(item) if isinstance(item, dict) else item for key, item in value.items()}
    return {key: item for key, item in made.items() if item not in (None, {}, [])} | {k: None for k in ("board",) if k in value}


if __name__ == "__main__":
    tasks = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or [task for task, _ in COMPARED]
    keys = [(point.task, point.network, point.rule, point.seed) for point in rule_points() if point.task in tasks]
    collect("rules", keys, measure, SEEDS)
