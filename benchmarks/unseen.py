"""Rules with their defaults on data for which nobody chose them: Fashion-MNIST, motion sensors, heart beats; beside frozen layers.

``EDGEFF_DATA_DIR=.. python benchmarks/unseen.py`` -> ``benchmarks/results/unseen.json``. All rules of a seed come before the next seed.
Nothing is set but the count of epochs; the test part is read once a row. A row says whether the run diverged, and what training warned of.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.errors import Diverged
from edgeff.networks import structure
from edgeff.rules import find_rule
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, train

NETWORKS = (("fashion_mnist", "784-32-10"), ("fashion_mnist", "784-128-10"), ("har", "384-32-5"), ("mitbih", "128-32-5"))
RULES = ("frozen", "bp", "dfa", "pepita", "cwc", "ff")
MORE_RULES = ("local_heads", "fa", "afa", "tdca", "forward_gradient", "scff")
"""Measured when those before are. With one hidden layer ``local_heads`` is back-propagation, to the bit."""
EPOCHS, SEEDS = 15, 5


@lru_cache(maxsize=1)
def load(task: str, seed: int) -> Data:
    found: Data = registry.tasks[task].load(seed)
    return found


def measure(task: str, network: str, rule: str, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent, None for a run that diverged; the rate; the share of the largest class of the test part."""
    data = load(task, seed)
    largest = round(100 * float(np.bincount(data.y_test).max()) / len(data.y_test), 2)
    settings = replace(find_rule(rule).settings, epochs=EPOCHS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trained = train(data, structure(network, input_shape=data.input_shape), rule, settings, seed, task=task)
        except Diverged as error:
            return {"accuracy": None, "diverged": True, "why": str(error), "largest_class": largest}
    reached = round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2)
    return {"accuracy": reached, "diverged": False, "lr": trained.run.settings.lr, "doubts": [*trained.doubts], "largest_class": largest}


if __name__ == "__main__":
    parts = [(rules, seed) for rules in (RULES, MORE_RULES) for seed in range(SEEDS)]
    keys = [(task, network, rule, seed) for rules, seed in parts for task, network in NETWORKS for rule in rules]
    collect("unseen", keys, measure, SEEDS)
