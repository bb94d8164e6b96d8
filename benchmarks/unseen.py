"""Rules on data for which nobody chose their settings: Fashion-MNIST, motion sensors, heart beats; beside frozen layers.

``EDGEFF_DATA_DIR=.. python benchmarks/unseen.py [--protocol]`` -> ``benchmarks/results/unseen.json``. All rules of a seed come before the
next seed. Without ``--protocol`` the settings are the defaults and nothing is set but the count of epochs; with it they are chosen on a
part of the training samples, with one budget for every rule (``protocol.py``). The test part is read once a row. A row says how its
settings were chosen, whether the run diverged and, for defaults, what training warned of.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from protocol import load, plain, protocol_row
from results import collect

from edgeff.bench.tuning import Search
from edgeff.errors import Diverged
from edgeff.rules import find_rule
from edgeff.train.loop import accuracy, doubts_of_test, train

NETWORKS = (("fashion_mnist", "784-32-10"), ("fashion_mnist", "784-128-10"), ("har", "384-32-5"), ("mitbih", "128-32-5"))
RULES = ("frozen", "bp", "dfa", "pepita", "cwc", "ff")
MORE_RULES = ("local_heads", "fa", "afa", "tdca", "forward_gradient", "scff")
"""Measured when those before are. With one hidden layer ``local_heads`` is back-propagation, to the bit."""
EPOCHS, SEEDS = 15, 5


PROTOCOL = "protocol"
DEFAULTS = {"by": "the rule's defaults"}


def measure(task: str, network: str, rule: str, *rest: Any) -> dict[str, Any]:
    """The test accuracy in per cent, None for a run that diverged; the rate; the share of the largest class of the test part."""
    *settings_by, seed = rest
    if settings_by == [PROTOCOL]:
        return protocol_row(task, network, rule, seed, Search(EPOCHS))
    data = load(task, seed)
    largest = round(100 * float(np.bincount(data.y_test).max()) / len(data.y_test), 2)
    settings = replace(find_rule(rule).settings, epochs=EPOCHS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trained = train(data, plain(task, network, seed), rule, settings, seed, task=task)
            doubts = [*trained.doubts, *doubts_of_test(trained, data)]
        except Diverged as error:
            return {"accuracy": None, "diverged": True, "why": str(error), "largest_class": largest, "chosen_by": DEFAULTS}
    reached = round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2)
    row: dict[str, Any] = {"accuracy": reached, "diverged": False, "lr": trained.run.settings.lr, "doubts": doubts}
    return row | {"largest_class": largest, "chosen_by": DEFAULTS}


if __name__ == "__main__":
    parts = [(rules, seed) for rules in (RULES, MORE_RULES) for seed in range(SEEDS)]
    chosen = [PROTOCOL] if "--protocol" in sys.argv else []
    keys = [(task, network, rule, *chosen, seed) for rules, seed in parts for task, network in NETWORKS for rule in rules]
    collect("unseen", keys, measure, SEEDS)
