"""Host training in float32 on digits: every rule on three networks, five seeds, beside the frozen control. The test set is read once a run.

``python benchmarks/accuracy.py`` -> ``benchmarks/results/accuracy.json``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.networks import structure
from edgeff.train.loop import accuracy, train

NETWORKS = ("64-32-10", "64-256-10", "64-128-128-10")
SEEDS = 5


def measure(network: str, rule: str, predict: str) -> dict[str, Any]:
    """The test accuracies in per cent of one rule on one network, a seed each."""
    settings = settings_before(rule).changed({"predict": predict} if predict else {})
    found = []
    for seed in range(SEEDS):
        data = registry.tasks["digits"].load(seed)
        trained = train(data, structure(network), rule, settings, seed)
        found.append(round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2))
    return {"test": found, "mean": round(float(np.mean(found)), 2), "deviation": round(float(np.std(found, ddof=1)), 2)}


if __name__ == "__main__":
    keys = [(network, rule, "") for network in NETWORKS for rule in registry.rules if rule not in ("ff", "mempepita")]
    keys += [("64-256-256-10", rule, "") for rule in ("bp", "frozen")]
    keys += [(network, "ff", "probe") for network in ("64-32-10", "64-256-256-10")] + [("64-256-256-10", "ff", "head")]
    collect("accuracy", keys, measure, SEEDS)
