"""PEPITA's variants beside the frozen control on 64-32-10: 8x8 digits, five seeds, on the host and one sample at a time by the generated C.

``python benchmarks/pepita_variants.py`` -> ``benchmarks/results/pepita_variants.json``; a row is a variant and where it learns. Settings
are the rule's own, on the device with ``SCHEDULE``, but for what the row says; time-local's rate and scale were chosen on the last
sixth of the training part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.bench.learning import SCHEDULE
from edgeff.device.simulate import learn_on_host
from edgeff.device.targets.host import HostTarget
from edgeff.errors import Diverged
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.train.loop import accuracy, train

NETWORK, SEEDS, DEVICE_EPOCHS = "64-32-10", 5, 30
HOST: tuple[tuple[str, dict[str, Any]], ...] = (
    ("frozen", {}),
    ("pepita", {}),
    ("pepita", {"distribution": "uniform", "feedback": "stored"}),
    ("pepita", {"modulation": "minus"}),
    ("pepita", {"output_pass": 1}),
    ("pepita", {"weight_decay": 1e-4}),
    ("pepita", {"normalise": True}),
    ("pepita", {"mirror_every": 1}),
    ("pepita", {"hebbian": True}),
    ("pepita", {"time_local": True}),
    ("pepita", {"time_local": True, "lr": 0.01, "feedback_scale": 0.2}),
    ("pepita", {"lr": 0.1, "feedback_scale": 0.5}),
)
DEVICE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("frozen", {}),
    ("pepita", {}),
    ("pepita", {"modulation": "minus"}),
    ("pepita", {"output_pass": 1}),
    ("pepita", {"hebbian": True}),
    ("pepita", {"time_local": True, "lr": 0.01, "feedback_scale": 0.3}),
)
KEYS = [(rule, "host", changes) for rule, changes in HOST]
KEYS += [(rule, numeric, changes) for numeric in ("float32", "int16", "int8") for rule, changes in DEVICE]


def measure(rule: str, where: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """The test accuracies in per cent after the last epoch, a seed each; None for a run that diverged."""
    found: list[float | None] = []
    for seed in range(SEEDS):
        data = registry.tasks["digits"].load(seed)
        if where == "host":
            try:
                trained = train(data, structure(NETWORK), rule, replace(settings_before(rule), **changes), seed)
                found.append(100 * accuracy(trained.scores(data.x_test), data.y_test))
            except Diverged:
                found.append(None)
        else:
            fresh, options = initialised(structure(NETWORK), seed), {**SCHEDULE, **changes}
            deployment = deploy(fresh, data.x_train, rule=rule, numeric=where, changes=options, seed=seed)
            found.append(100 * learn_on_host(HostTarget(deployment.program), deployment, data, DEVICE_EPOCHS, seed, points=1).after)
    known = [value for value in found if value is not None]
    spread = {"mean": round(float(np.mean(known)), 1), "deviation": round(float(np.std(known, ddof=1)), 1)} if len(known) > 1 else {}
    return {"test": [None if value is None else round(value, 2) for value in found]} | spread


if __name__ == "__main__":
    collect("pepita_variants", KEYS, measure, SEEDS)
