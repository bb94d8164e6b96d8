"""Every rule beside every other: the suite of ``edgeff bench rules``, a point a row, for the README's tables.

``EDGEFF_DATA_DIR=.. python benchmarks/rules.py [TASK|RULE ..] [--fresh]`` -> ``benchmarks/results/rules.json``. All rules of a seed come
before the next seed, so that a sweep that is stopped has whole comparisons. Settings are the rules' own for 64-32-10, and ``RECIPES`` of
``edgeff/networks/cnn_small.py``, which says how they were chosen; ``--validate TASK NETWORK RULE [key=value ..]`` prints the accuracy on
the last sixth of the training part. The test part is read once a row.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from before_0027 import CHANGED
from held_out import held_out
from results import collect

from edgeff.bench.rules import SEEDS, RulePoint, changes_of, rule_points, test_metric, trained_on
from edgeff.report.record import run_json
from edgeff.rules import find_rule


def measure(task: str, network: str, rule: str, seed: int) -> dict[str, Any]:
    """The point's trace as in ``report.json``, without what is unknown, and the seconds it took."""
    started = time.perf_counter()
    before = CHANGED.get(rule, {}) if task == "digits" else {}
    run = run_json(RulePoint(task, network, rule, seed, changes_of(task, network, rule) | before).run())
    return {"run": known(run), "seconds": round(time.perf_counter() - started)}


def known(value: dict[str, Any]) -> dict[str, Any]:
    """A mapping without entries that are None or empty."""
    made = {key: known(item) if isinstance(item, dict) else item for key, item in value.items()}
    return {key: item for key, item in made.items() if item not in (None, {}, [])} | {k: None for k in ("board",) if k in value}


def validate(task: str, network: str, rule: str, *words: str) -> float:
    """The accuracy on the last sixth of the training part, the rest trained on with seed 0 and settings ``key=value``."""
    texts = dict(word.split("=") for word in words)
    changed = find_rule(rule).settings.changed(texts)
    point = RulePoint(task, network, rule, 0, changes_of(task, network, rule) | {key: getattr(changed, key) for key in texts})
    data = held_out(point.data())
    return test_metric(task, trained_on(data, point), data)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--validate"]:
        sys.exit(f"{validate(*sys.argv[2:]):.4f}")
    wanted = {argument for argument in sys.argv[1:] if not argument.startswith("-")}
    points = rule_points()
    tasks, rules = {point.task for point in points} & wanted, {point.rule for point in points} & wanted
    chosen = [p for p in points if (not tasks or p.task in tasks) and (not rules or p.rule in rules)]
    collect("rules", [(point.task, point.network, point.rule, point.seed) for point in chosen], measure, SEEDS)
