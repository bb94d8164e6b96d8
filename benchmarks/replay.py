"""Replay against none on a class-incremental stream: digits 0 to 4 are known, 5 to 9 come one class after the other, once.

A backbone and head (64-32-10) are trained on the host on the first five classes. On the device the backbone is frozen in int8 and the head
learns in float32 or int8; a ring is filled by ``commit`` with samples of the known classes, then the stream comes. The controls learn
without a ring, each sample once, or five times in a row: as many steps as a sample and four steps of replay take.
``python benchmarks/replay.py`` -> ``benchmarks/results/replay.json``, in under a minute.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.ir import Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.lower import Replay
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.tasks import Data
from edgeff.train.loop import fit

NETWORK, RULE = "64-32-10", "frozen:dense_1,bp"
KNOWN = 5
SEEDS = range(5)
ENTRIES = 64
STEPS = 4
WAYS: dict[str, Replay | None] = {
    "no replay": None,
    "no replay, each sample five times": None,
    "replay of the last": Replay(ENTRIES, STEPS, "last"),
    "replay of a spread": Replay(ENTRIES, STEPS),
    "replay of a balanced ring": Replay(ENTRIES, STEPS, "balanced"),
}


@lru_cache
def trained(seed: int) -> tuple[Data, Network]:
    """The digits, and the network that knows the first of them."""
    data = registry.tasks["digits"].load(seed)
    known = data.y_train < KNOWN
    network = initialised(structure(NETWORK), seed)
    made = fit(network, "bp", data.x_train[known], data.targets(data.y_train[known]), settings_before("bp"), seed)
    return data, made.network


def run(way: str, tail: Numeric, seed: int) -> dict[str, Any]:
    """Accuracy on the test samples of the known and of all classes, before and after the stream."""
    data, network = trained(seed)
    old = np.flatnonzero(data.y_train < KNOWN)
    replay = WAYS[way]
    deployment = deploy(network, data.x_train[old], rule=RULE, numeric="int8", tail_numeric=tail, seed=seed, replay=replay)
    host = HostTarget(deployment.program)
    x, x_test = deployment.inputs(data.x_train), deployment.inputs(data.x_test)
    rng = np.random.default_rng([seed, 3])

    def accuracies() -> dict[str, float]:
        right = host.predict_many(x_test)[0] == data.y_test
        return {"known": float(right[data.y_test < KNOWN].mean()), "all": float(right.mean())}

    before = accuracies()
    if replay is not None:
        for index in rng.permutation(old)[:ENTRIES]:
            host.line("commit", x[index], np.array([data.y_train[index]], np.int32))
    new = np.concatenate([rng.permutation(np.flatnonzero(data.y_train == label)) for label in range(KNOWN, 10)])
    order = np.repeat(new, 1 + STEPS) if "five" in way else new
    host.learn_many(x, data.y_train, order)
    return {"before": before, "after": accuracies(), "samples": len(new), "arena_bytes": plan(select(deployment.program)).arena_bytes}


if __name__ == "__main__":
    tails: tuple[Numeric, ...] = ("float32", "int8")
    collect("replay", [(way, tail, seed) for tail in tails for way in WAYS for seed in SEEDS], run, len(SEEDS))
