"""Learning on the device from fresh weights, one sample at a time, by the generated C: every rule and numeric on 64-32-10, five seeds.
The rate falls by ``SCHEDULE``.

The control keeps the hidden layer at its random start (rule ``frozen``); int8 PEPITA stands beside its round-to-nearest form.
``python benchmarks/device_learning.py`` -> ``benchmarks/results/device_learning.json``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.bench.learning import SCHEDULE
from edgeff.device.simulate import learn_on_host
from edgeff.device.targets.host import HostTarget
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy

NETWORK, EPOCHS, SEEDS = "64-32-10", 60, 5


def measure(rule: str, numeric: Any, rounding: str) -> dict[str, Any]:
    """The test accuracies in per cent after the last epoch, a seed each."""
    found = []
    for seed in range(SEEDS):
        data = registry.tasks["digits"].load(seed)
        network = initialised(structure(NETWORK), seed)
        stochastic = rounding == "stochastic"
        deployment = deploy(network, data.x_train, rule=rule, numeric=numeric, changes=SCHEDULE, seed=seed, stochastic=stochastic)
        learned = learn_on_host(HostTarget(deployment.program), deployment, data, EPOCHS, seed, points=1)
        found.append(round(100 * learned.after, 2))
    return {"test": found, "mean": round(float(np.mean(found)), 2), "deviation": round(float(np.std(found, ddof=1)), 2), "epochs": EPOCHS}


if __name__ == "__main__":
    keys = [
        (rule, numeric, "none" if numeric == "float32" else "stochastic")
        for rule in registry.rules
        for numeric in registry.rules[rule].numerics
    ]
    collect("device_learning", [*keys, ("pepita", "int8", "nearest"), ("bp", "int8", "nearest")], measure, SEEDS)
