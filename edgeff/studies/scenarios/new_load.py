"""Bearings under another load (CWRU): trained at one load of the motor, the device learns another and is tested on the rest of it.

Which of nine faults, or none. Of each recording at the new load the first half of the windows is learned, ten of them, spread evenly, and
the second half tests, one window later on; the normal recording exists at 0 hp alone: its first 60 % are known, and of the rest a half is
learned and a half tests. The last fifth of each recording at the trained load tests what is forgotten.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np

from edgeff.ir import Array
from edgeff.registry import tasks
from edgeff.studies.scenarios.scenario import Parts, Scenario
from edgeff.tasks import Data
from edgeff.tasks._files import need_local
from edgeff.tasks.bearings import FAULTS, FILE, NORMAL_TRAIN_SHARE, SOURCE, TRAIN_HOP, WINDOW, read_recordings, windows

CLASSES = ("normal", *FAULTS)
LOADS_HP = (0, 1, 2, 3)
CASES = tuple(permutations(LOADS_HP, 2))
LEARNED_WINDOWS = 10
KNOWN_SHARE = 0.8


@lru_cache(maxsize=1)
def _recordings() -> dict[tuple[int, int], Array]:
    """The samples of each class and load; the normal one at every load."""
    found = {}
    for signal, fault, load_hp in read_recordings(need_local(FILE, "the bearing recordings", SOURCE)):
        for load in (load_hp,) if fault else LOADS_HP:
            found[CLASSES.index(fault or "normal"), load] = signal
    return found


def _sides(signals: dict[int, Array], shares: dict[int, float], hop: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The coefficients and labels of the windows before and after a share of each signal."""
    task = tasks["bearings_10"]
    sides = []
    for first in (True, False):
        cuts = []
        for label, signal in signals.items():
            border = round(shares[label] * len(signal))
            cuts.append(windows(signal[:border], hop) if first else windows(signal[border + WINDOW :], WINDOW))
        y = np.concatenate([np.full(len(cut), label, np.int64) for label, cut in zip(signals, cuts, strict=True)])
        sides.append((task.inputs(np.concatenate(cuts)), y))
    return sides[0], sides[1]


def parts(seed: int) -> Parts:
    """The pair of loads ``seed % 12``."""
    old, new = CASES[seed % len(CASES)]
    recordings, labels = _recordings(), range(len(CLASSES))
    border = round(NORMAL_TRAIN_SHARE * len(recordings[0, old]))
    before = {label: recordings[label, old] for label in labels} | {0: recordings[0, old][:border]}
    after = {label: recordings[label, new] for label in labels} | {0: recordings[0, new][border + WINDOW :]}
    (x, y), (x_test, y_test) = _sides(before, dict.fromkeys(labels, KNOWN_SHARE), TRAIN_HOP // 4)
    order = np.random.default_rng([seed, 4]).permutation(len(x))
    known = Data(x[order], y[order], x_test, y_test, CLASSES)
    (x_first, y_first), (x_new, y_new) = _sides(after, dict.fromkeys(labels, 0.5), WINDOW)
    rows = [np.flatnonzero(y_first == label) for label in labels]
    learned = np.concatenate([own[np.linspace(0, len(own) - 1, min(LEARNED_WINDOWS, len(own))).astype(int)] for own in rows])
    return Parts(f"{old} hp, then {new} hp", known, x_first[learned], y_first[learned], x_new, y_new)


NEW_LOAD = Scenario("new_load", "bearings under another load than in training", "20-48-10", 60, 10, len(CASES), parts)
