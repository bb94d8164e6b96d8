"""Gas sensors that age (Vergara et al. 2012): trained on months 1 to 20, the device learns a first late batch and is tested on a later one.

Batch 8 (months 22 and 23) is learned, batch 9 (months 24 and 30) tests. A fifth of the early samples tests what is forgotten.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.registry import tasks
from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.tasks.gas_drift import LATE

EARLY_TEST = 5


def parts(seed: int) -> Parts:
    """The seed draws which early samples test."""
    data = tasks["gas_drift"].load(seed)
    first = np.array(data.metadata["batches"]) == LATE[0]
    count = len(data.x_train) // EARLY_TEST
    known = replace(
        data,
        x_train=data.x_train[count:],
        y_train=data.y_train[count:],
        x_test=data.x_train[:count],
        y_test=data.y_train[:count],
        groups_train=None,
    )
    return Parts("batch 8, then 9", known, data.x_test[first], data.y_test[first], data.x_test[~first], data.y_test[~first])


GAS_DRIFT = Scenario("gas_drift", "gas sensors that age, early batches to late ones", "128-32-6", 30, 10, 1, parts)
