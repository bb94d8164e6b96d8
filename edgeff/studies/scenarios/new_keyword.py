"""A new keyword: all words of a task but one are known; that one is then said 20 times and is to be understood.

With the new word's clips come five of each known class, which a firmware can hold, else the device would learn to say one word. The test
clips of the new word and as many of other classes, of speakers never heard, are the changed world; all test clips of other classes tell
what is forgotten. ``new_keyword`` takes the clips of ``kws_open`` (nine words, silence and unknown ones are known), ``new_arabic_word``
those of ``arabic`` (five).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeff.studies.scenarios.scenario import Parts, Scenario, loaded, scaled
from edgeff.tasks import Data
from edgeff.tasks.arabic import WORDS as ARABIC
from edgeff.tasks.kws import WORDS

SAID, KEPT = 20, 5
"""Clips of the new word, and of each known class."""


def parts_of(task: str, words: tuple[str, ...], *, flat: bool = False) -> Callable[[int], Parts]:
    """``parts`` of a task whose word ``seed % len(words)`` is new; ``flat``: for a dense network."""

    def parts(seed: int) -> Parts:
        clips, rng, word = loaded(task), np.random.default_rng([seed, 4]), words[seed % len(words)]
        label, classes = clips.classes.index(word), len(clips.classes)
        known = rng.permutation(np.flatnonzero(clips.y_train != label))
        kept = np.concatenate([known[clips.y_train[known] == other][:KEPT] for other in range(classes) if other != label])
        said = rng.permutation(np.flatnonzero(clips.y_train == label))[:SAID]
        learned = np.concatenate([said, kept])
        new, others = np.flatnonzero(clips.y_test == label), np.flatnonzero(clips.y_test != label)
        tested = np.concatenate([new, rng.permutation(others)[: len(new)]])
        x, x_test = (part.reshape(len(part), -1) if flat else part for part in (clips.x_train, clips.x_test))
        data = Data(x[known], clips.y_train[known], x_test[others], clips.y_test[others], clips.classes)
        return scaled(Parts(word, data, x[learned], clips.y_train[learned], x_test[tested], clips.y_test[tested]))

    return parts


NEW_KEYWORD = Scenario(
    "new_keyword", "a keyword left out of training, then said 20 times", "cnn_small", 10, 10, len(WORDS), parts_of("kws_open", WORDS)
)
NEW_ARABIC_WORD = Scenario(
    "new_arabic_word",
    "a word of spoken Arabic left out of training, then said 20 times",
    "490-64-6",
    60,
    10,
    len(ARABIC),
    parts_of("arabic", ARABIC, flat=True),
)
