"""A new wearer (activity from phone and watch, 23 subjects): 22 are known, the 23rd does each activity for a while and is then followed.

Of every activity of the new wearer the first half of the windows is learned and the rest tests, but for the window between them, which
overlaps both. A tenth of the known windows tests what is forgotten: the last ones of each subject, in the file's order.
"""

from __future__ import annotations

import numpy as np

from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.tasks import Data
from edgeff.tasks.har import CLASSES, windows

SUBJECTS = 23


def parts(seed: int) -> Parts:
    """The subject ``seed % 23`` is new."""
    x, labels, subjects = windows()
    names = sorted(set(subjects.tolist()))
    name = names[seed % len(names)]
    x = x.reshape(len(x), -1)
    new = subjects == name
    held_out = np.zeros(len(x), bool)
    for other in names:
        rows = np.flatnonzero(subjects == other)
        held_out[rows[len(rows) - len(rows) // 10 :]] = True
    train = np.random.default_rng([seed, 4]).permutation(np.flatnonzero(~new & ~held_out))
    learned, unseen = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for label in set(labels[new].tolist()):
        rows = np.flatnonzero(new & (labels == label))
        learned[rows[: len(rows) // 2]] = True
        unseen[rows[len(rows) // 2 + 1 :]] = True
    test = ~new & held_out
    known = Data(x[train], labels[train], x[test], labels[test], CLASSES)
    return Parts(name, known, x[learned], labels[learned], x[unseen], labels[unseen])


NEW_WEARER = Scenario("new_wearer", "activity from motion, a wearer left out of training", "384-48-5", 30, 5, SUBJECTS, parts)
