"""When to replay: schedules by optimal control in theory, and on a device that has stored a few samples of what it knows.

**theory**: the errors after the second task, by the equations. **device**: 64-32-10 knows digits 0 to 4, trained on the host; the digits 5
to 9 come once each, one at a time, and 8 to 64 stored samples of the first ones are learned in between, as the table of ``edgeff
schedule`` says: the same number of steps uniformly, late and by optimal control, or none. Back-propagation in float32 by the C, five seeds,
the rate the best of three on a third of the stored and new samples by the mean accuracy of both halves, for each way.
``nice python benchmarks/replay_schedule.py`` -> ``benchmarks/results/replay_schedule.json``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from results import collect

from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array
from edgeff.networks import structure
from edgeff.program.deploy import deploy
from edgeff.registry import tasks
from edgeff.rules import find_rule
from edgeff.studies.theory.schedule import Schedule, after_first_task, followed, late, optimal, table_of, uniform
from edgeff.train.loop import train

SIMILARITY, MEAN, SEGMENTS, SEEDS = 0.3, 0.2, 8, 5
WAYS = ("none", "uniform", "late", "optimal")
STORED = (8, 16, 32, 64)
SHARES = (1.0, 0.25, 4.0)
KNOWN = 5


@lru_cache(maxsize=8)
def schedule(way: str, similarity: float = SIMILARITY) -> Schedule:
    """The schedule of a way, all but ``none`` with the same share of replay."""
    start = after_first_task(similarity)
    if way == "optimal":
        return optimal(start, SEGMENTS, MEAN)
    return followed(start, {"none": uniform(SEGMENTS, 0.0), "uniform": uniform(SEGMENTS, MEAN), "late": late(SEGMENTS, MEAN)}[way], way)


def order(way: str, new: int, stored: int, rng: np.random.Generator) -> Array:
    """The samples in the order in which they are learned: new ones first, stored ones counted behind them."""
    made: list[int] = []
    for number, steps in enumerate(table_of(schedule(way).shares, new)):
        made += [number, *(new + rng.integers(stored, size=steps))]
    return np.array(made, np.int32)


def device(way: str, stored: int, seed: int) -> dict[str, Any]:
    """Accuracies in per cent on both halves of the digits after the second one."""
    data, rng = tasks["digits"].load(seed), np.random.default_rng([seed, 9])
    first = data.y_train < KNOWN
    known = replace(data, x_train=data.x_train[first], y_train=data.y_train[first])
    network = train(known, structure("64-32-10"), "bp", find_rule("bp").settings, seed, guarded=False).network
    new, old = rng.permutation(np.flatnonzero(~first)), rng.permutation(np.flatnonzero(first))[:stored]
    own = deploy(network, data.x_train, rule="bp", numeric="float32", seed=seed).settings.lr

    def learned(share: float, new: Array, old: Array, x: Array, y: Array) -> tuple[float, float]:
        deployment = deploy(network, data.x_train, rule="bp", numeric="float32", changes={"lr": own * share}, seed=seed)
        host, rows = HostTarget(deployment.program), np.concatenate([new, old])
        steps = order(way, len(new), len(old), np.random.default_rng([seed, 10]))
        host.learn_many(deployment.inputs(data.x_train[rows]), data.y_train[rows].astype(np.int32), steps)
        right = host.predict_many(deployment.inputs(x))[0] == y
        return 100 * float(right[y < KNOWN].mean()), 100 * float(right[y >= KNOWN].mean())

    out = np.concatenate([new[: len(new) // 3], old[: -(-len(old) // 3)]])
    x, y = data.x_train[out], data.y_train[out]
    reached = {s: sum(learned(s, new[len(new) // 3 :], old[-(-len(old) // 3) :], x, y)) for s in SHARES}
    share = max(reached, key=lambda each: reached[each])
    before, after = learned(share, new, old, data.x_test, data.y_test)
    return {"known": before, "new": after, "share": share, "steps": sum(table_of(schedule(way).shares, len(new)))}


def measure(what: str, way: str, amount: float, seed: int) -> dict[str, Any]:
    """A row."""
    if what == "device":
        return device(way, int(amount), seed)
    found = schedule(way, amount)
    return {"shares": found.shares.tolist(), "errors": found.errors.tolist()}


if __name__ == "__main__":
    theory = [("theory", way, similarity, 0) for similarity in (0.0, 0.3, 0.6, 0.9) for way in WAYS]
    collect(
        "replay_schedule", [*theory, *(("device", way, n, seed) for n in STORED for way in WAYS for seed in range(SEEDS))], measure, SEEDS
    )
