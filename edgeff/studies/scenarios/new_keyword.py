"""A new keyword (Speech Commands): nine words, silence and unknown ones are known, the tenth is said 20 times and is then to be understood.

With the new word's clips come five of each known class, which a firmware can hold, else the device would learn to say one word. The test
clips of the new word and as many of other classes, of speakers never heard, are the changed world; all test clips of other classes tell
what is forgotten. The clips are those of ``kws_open``.
"""

from __future__ import annotations

import numpy as np

from edgeff.studies.scenarios.scenario import Parts, Scenario, loaded, scaled
from edgeff.tasks import Data
from edgeff.tasks.kws import CLASSES, WORDS

SAID, KEPT = 20, 5
"""Clips of the new word, and of each known class."""


def parts(seed: int) -> Parts:
    """The word ``seed % 10`` is new."""
    clips, rng = loaded("kws_open"), np.random.default_rng([seed, 4])
    label = CLASSES.index(WORDS[seed % len(WORDS)])
    known = rng.permutation(np.flatnonzero(clips.y_train != label))
    kept = np.concatenate([known[clips.y_train[known] == other][:KEPT] for other in range(len(CLASSES)) if other != label])
    said = rng.permutation(np.flatnonzero(clips.y_train == label))[:SAID]
    learned = np.concatenate([said, kept])
    new, others = np.flatnonzero(clips.y_test == label), np.flatnonzero(clips.y_test != label)
    tested = np.concatenate([new, rng.permutation(others)[: len(new)]])
    x, x_test = clips.x_train, clips.x_test
    data = Data(x[known], clips.y_train[known], x_test[others], clips.y_test[others], CLASSES)
    return scaled(Parts(WORDS[seed % len(WORDS)], data, x[learned], clips.y_train[learned], x_test[tested], clips.y_test[tested]))


NEW_KEYWORD = Scenario("new_keyword", "a keyword left out of training, then said 20 times", "cnn_small", 10, 10, len(WORDS), parts)
