"""A new speaker (Free Spoken Digit Dataset): five speakers are known, the sixth says each digit ten times and is then understood.

Takes 0 to 4 of the known speakers test what is forgotten. Of the new one, takes 0 to 9 are learned and 10 to 49 test.
"""

from __future__ import annotations

import numpy as np

from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.tasks import Data
from edgeff.tasks.fsdd import FEATURES, SPEAKERS, TEST_TAKES, Fsdd, recordings

LEARNED_TAKES = 10


def parts(seed: int) -> Parts:
    """The speaker ``seed % 6`` is new."""
    speaker = SPEAKERS[seed % len(SPEAKERS)]
    clips, digits, speakers, takes = recordings()
    x = coefficients(clips, make(Mfcc, FEATURES)).reshape(len(clips), -1)
    new = speakers == SPEAKERS.index(speaker)
    test, learned = ~new & (takes < TEST_TAKES), new & (takes < LEARNED_TAKES)
    train = np.random.default_rng([seed, 4]).permutation(np.flatnonzero(~new & ~test))
    known = Data(x[train], digits[train], x[test], digits[test], Fsdd.classes)
    unseen = new & ~learned
    return Parts(speaker, known, x[learned], digits[learned], x[unseen], digits[unseen])


NEW_SPEAKER = Scenario("new_speaker", "spoken digits, a speaker left out of training", "490-64-10", 60, 10, len(SPEAKERS), parts)
