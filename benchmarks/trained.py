"""Networks trained by edgeff on the host from scratch, each with its controls: shuffled labels, and hidden layers that stay as drawn.

``EDGEFF_DATA_DIR=.. python benchmarks/trained.py [--fresh]`` -> ``benchmarks/results/trained.json``. The test part is read once a run, by
the float network and by its int8 form (calibrated on 200 training samples).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.bench.metrics import measured, real_outputs
from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array, Network
from edgeff.networks import recipe, structure
from edgeff.program.deploy import deploy
from edgeff.tasks import Data
from edgeff.train.loop import train

RUNS = (("fsdd", "ds_cnn"), ("bearings", "20-32-2"), ("bearings_10", "20-32-10"))
SEEDS = 3
FSDD = {"optimiser": "adam", "lr": 1e-3, "batch": 32, "epochs": 12, "decay": 0.2, "decay_epochs": (8,), "momentum": 0.0}
"""2,700 clips are few: the recipe of 85,000 would take more epochs at a lower rate."""
CONTROLS = ("", "shuffled labels", "frozen hidden layers")


def int8_outputs(network: Network, data: Data) -> Array:
    """The real outputs (n, classes) of the network's int8 form, by the C on the host."""
    deployment = deploy(network, data.x_train, numeric="int8")
    return real_outputs(deployment.program, HostTarget(deployment.program).predict_many(deployment.inputs(data.x_test))[1])


def measure(task: str, network: str, control: str) -> dict[str, Any]:
    """The task's metric on the test part, a seed each."""
    metric = registry.tasks[task].metric
    rule = "frozen" if control == "frozen hidden layers" else "bp"
    found: list[float] = []
    quantised: list[float] = []
    for seed in range(SEEDS):
        data: Data = registry.tasks[task].load(seed)
        if control == "shuffled labels":
            data = replace(data, y_train=np.random.default_rng(seed).permutation(data.y_train))
        settings = replace(settings_before("bp"), **(FSDD if task == "fsdd" else recipe(network)))
        settings = replace(settings_before(rule), **asdict(settings)) if rule != "bp" else settings
        plain = structure(network, bias=True, input_shape=data.input_shape, classes=len(data.classes))
        trained = train(data, plain, rule, settings, seed, task=task)
        labels, files = data.y_test, data.files_test
        found.append(round(100 * measured(metric, trained.network, data.x_test, trained.scores(data.x_test), labels, files), 2))
        if not control:
            outputs = int8_outputs(trained.network, data)
            quantised.append(round(100 * measured(metric, trained.network, data.x_test, outputs, labels, files), 2))
    row: dict[str, Any] = {"metric": metric, "epochs": settings.epochs, "test": found}
    row |= {"mean": round(float(np.mean(found)), 2), "deviation": round(float(np.std(found, ddof=1)), 2)}
    if quantised:
        row |= {"int8": quantised, "int8_mean": round(float(np.mean(quantised)), 2)}
    return row


if __name__ == "__main__":
    collect("trained", [(*run, control) for run in RUNS for control in CONTROLS], measure, SEEDS)
