"""A new patient (MIT-BIH heart beats): the patients of DS1 are known, one of DS2 is met, and a physician labels some of the beats.

Of each class of the patient's beats the first half is learned, at most 50 of them, and the rest tests. Patients who have fewer than 30
beats that are not normal have nothing to learn from and are no case. A tenth of the known beats tests what is forgotten: the last ones of
each class of each record.
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.tasks import Data
from edgeff.tasks.mitbih import CLASSES, beats, trains_and_tests

PATIENTS = ("100", "105", "200", "210", "213", "214", "219", "221", "222", "228", "232", "233", "234")
"""Records of DS2, of other subjects than DS1's, with at least 30 beats that are not normal."""
LABELLED, TEST_SHARE = 50, 10


def parts(seed: int) -> Parts:
    """The patient ``seed % 13`` is new."""
    x, y, records, sets = beats()
    x, name = x.reshape(len(x), -1), PATIENTS[seed % len(PATIENTS)]
    known, _ = trains_and_tests(records, sets)
    last = [
        rows[len(rows) - len(rows) // TEST_SHARE :]
        for record in sorted(set(records[known].tolist()))
        for rows in _by_class(y, records == record)
    ]
    test = np.concatenate(last)
    train = np.random.default_rng([seed, 4]).permutation(np.setdiff1d(known, test))
    learned, unseen = [], []
    for rows in _by_class(y, records == name):
        labelled = min(len(rows) // 2, LABELLED)
        learned.append(rows[:labelled])
        unseen.append(rows[labelled:])
    own, new = np.concatenate(learned), np.concatenate(unseen)
    return Parts(f"patient {name}", Data(x[train], y[train], x[test], y[test], CLASSES), x[own], y[own], x[new], y[new])


def _by_class(y: Array, chosen: Array) -> list[Array]:
    """The chosen beats of each class, in the file's order."""
    return [np.flatnonzero(chosen & (y == label)) for label in range(len(CLASSES))]


NEW_PATIENT = Scenario("new_patient", "heart beats, a patient left out of training", "128-32-5", 30, 5, len(PATIENTS), parts)
