"""Every rule beside every other: the suite of ``edgeff bench rules``, a point a row, for the README's tables.

``EDGEFF_DATA_DIR=.. python benchmarks/rules.py [TASK|RULE ..] [--fresh]`` -> ``benchmarks/results/rules.json``. All rules of a seed come
before the next seed, so that a sweep that is stopped has whole comparisons. Settings are chosen on a part of the training samples, with one
budget for every rule (``protocol.py``); MNIST's on a fifth of its training images, CIFAR-10's on half of its subset. What a search leaves
as it is are the rules' own settings for 64-32-10, and ``RECIPES`` of ``edgeff/networks/cnn_small.py``. Networks of convolutions leave out
``mempepita``, which is ``pepita`` to the bit, and ``zeroth_order``, of which an epoch takes sixteen of others. ``--validate TASK NETWORK
RULE [key=value ..]`` prints the accuracy on the last sixth of the training part. The test part is read once a row.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from typing import Any

from held_out import held_out
from protocol import kept_choice, split_of
from results import collect, load
from sklearn.model_selection import StratifiedShuffleSplit

from edgeff import registry
from edgeff.bench.rules import RulePoint, changes_of, rule_of, rule_points, test_metric, trained_on
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.errors import Diverged, Unsupported
from edgeff.ir import Trace
from edgeff.networks import initialised, recipe, structure
from edgeff.report.record import run_json
from edgeff.rules import find_rule
from edgeff.tasks import Data

PROTOCOL, SEEDS = "protocol", 5
SEARCHES = {
    "digits": Search(60, candidates=9),
    "mnist": Search(3, candidates=9, splits=1),
    "cifar10": Search(10, candidates=9, splits=1),
}
LEFT_OUT = ("mempepita", "zeroth_order")
"""Of networks of convolutions."""
SEARCHED_SHARE = {"mnist": 0.2, "cifar10": 0.5}
"""The share of the training samples that a search sees, where it is not all."""


def measure(task: str, network: str, rule: str, _settings_by: str, seed: int) -> dict[str, Any]:
    """The point's trace as in ``report.json``, without what is unknown, how its settings were chosen, and the seconds it took."""
    started = time.perf_counter()
    try:
        how = chosen(RulePoint(task, network, rule, split_of(task, seed)))
    except Diverged as error:  # no candidate ends: neither would a run
        none = Trace(task, network, rule, "float32", None, "host", seed, refused=str(error))
        return {"run": known(run_json(none)), "chosen_by": {"by": "search on validation samples"}, "seconds": 0}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in how["settings"].items()}
    run = run_json(RulePoint(task, network, rule, seed, changes).run())
    return {"run": known(run), "chosen_by": how, "seconds": round(time.perf_counter() - started)}


def refused(*key: Any) -> str:
    """Why the row of this key ended without settings; empty for one that did not, or is not there yet."""
    return next((str(row["run"].get("refused", "")) for row in load("rules").get("rows", []) if row["key"] == list(key)), "")


def chosen(point: RulePoint) -> dict[str, Any]:
    """How the settings of a point were chosen, and which. Raises Diverged where no candidate ends."""
    if why := refused(point.task, point.network, point.rule, PROTOCOL, point.seed):
        raise Diverged(why)
    rule, search, data = rule_of(point), replace(SEARCHES[point.task], seed=point.seed), searched(point)
    fixed = {
        name: value for name, value in changes_of(point.task, point.network, point.rule).items() if name not in ("epochs", "decay_epochs")
    }
    plain = structure(point.network, bias=True, input_shape=data.input_shape, classes=len(data.classes))

    def run(part: Data, settings: Any, seed: int) -> float | None:
        try:
            return test_metric(point.task, trained_on(part, replace(point, seed=seed, changes=asdict(settings))), part)
        except Diverged:
            return None

    def make() -> Choice:
        return choose(data, plain, point.network, rule.name, search, registry.tasks[point.task], fixed=fixed, run=run)

    return kept_choice((point.task, point.network, point.rule, "with biases"), search, make)


def searched(point: RulePoint) -> Data:
    """The point's data with the training samples that its search sees."""
    data, share = point.data(), SEARCHED_SHARE.get(point.task)
    return (
        data
        if share is None
        else data.validation(*next(StratifiedShuffleSplit(1, train_size=share, random_state=0).split(data.x_train, data.y_train)))
    )


def known(value: dict[str, Any]) -> dict[str, Any]:
    """A mapping without entries that are None or empty."""
    made = {key: known(item) if isinstance(item, dict) else item for key, item in value.items()}
    return {key: item for key, item in made.items() if item not in (None, {}, [])} | {k: None for k in ("board",) if k in value}


def takes(point: RulePoint) -> bool:
    """Whether the rule trains networks of this kind at all."""
    rule, task = rule_of(point), registry.tasks[point.task]
    plain = structure(point.network, bias=True, input_shape=task.input_shape, classes=len(task.classes))
    try:
        rule.prepare(
            initialised(plain, 0),
            replace(rule.settings, **recipe(point.network, rule.name) | changes_of(point.task, point.network, point.rule)),
            0,
        )
    except Unsupported:
        return False
    return True


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
    once = [p for p in rule_points() if p.seed == 0 and (p.task == "digits" or p.rule not in LEFT_OUT) and takes(p)]
    points = [replace(point, seed=seed) for seed in range(SEEDS) for point in once]
    tasks, rules = {point.task for point in points} & wanted, {point.rule for point in points} & wanted
    wanted_points = [p for p in points if (not tasks or p.task in tasks) and (not rules or p.rule in rules)]
    collect("rules", [(point.task, point.network, point.rule, PROTOCOL, point.seed) for point in wanted_points], measure, SEEDS)
