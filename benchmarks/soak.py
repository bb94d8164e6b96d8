"""A device that has learned for long: whether it still learns a drift, and whether it is whole after a million steps.

64-32-10 learns digits from fresh weights by the C that a board runs, one sample at a time, at the rule's own constant rate. **drift**:
after 150,000 samples every picture comes mirrored, as from a sensor that was mounted the other way round; the aged device and a fresh one
learn 30,000 mirrored samples in the same order, and their test accuracies are means over the last ten of thirty readings. **anchored**: the
same with ``anchor=2e-5``, for the rules of which some numeric stands a point or more behind without; ``fa`` in int8 has twice that, which
validation samples chose (docs/adr/0044-learning-for-years.md). **slower**: the same at a rate of a third, without an anchor, for
``zeroth_order``, whose noise outgrows what it learns at its own; a fifth of the training samples of seed 0 chose it. **soak**:
1,000,000 steps, twice: the codes that were returned, the largest weight, the share of integers at their limits, and whether both runs end
in the same bytes. ``nice python benchmarks/soak.py [RULE ..]`` -> ``benchmarks/results/soak.json``; a row takes about a minute.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import collect

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.program.codes import LIMITS, WINDOW, Code, watched
from edgeff.program.deploy import Deployment, deploy

NETWORK, SEEDS = "64-32-10", 3
AGED, DRIFTED, STEPS = 150_000, 30_000, 1_000_000
READINGS, LAST = 30, 10
ANCHOR = 2e-5
STRONGER = {("fa", "int8"): 4e-5}
SLOWER = {("zeroth_order", "float32"): 3e-4}
ANCHORED = ("afa", "pepita", "mempepita", "scff", "fa", "dfa", "tdca", "block_ff", "frozen")


def mirrored(x: Array) -> Array:
    """Pictures x (n, 64) of 8 x 8 with left and right exchanged."""
    return np.ascontiguousarray(x.reshape(-1, 8, 8)[:, :, ::-1]).reshape(len(x), 64)


class Device:
    """The C of a rule on this machine, with the digits of a seed; ``mirror``: as they are after the drift."""

    def __init__(self, rule: str, numeric: Any, seed: int, **changes: float) -> None:
        self.data = registry.tasks["digits"].load(seed)
        network = initialised(structure(NETWORK), seed)
        self.deployment: Deployment = deploy(network, self.data.x_train, rule=rule, numeric=numeric, changes=changes, seed=seed)
        self.host = HostTarget(self.deployment.program)
        self.seed, self.codes = seed, Counter[int]()

    def learn(self, steps: int, *, mirror: bool = False, stream: int = 0, read: Callable[[], None] | None = None, every: int = 0) -> None:
        """``steps`` samples in an order that ``stream`` decides; ``read`` is called after ``every`` of them."""
        way = mirrored if mirror else np.asarray
        x = self.deployment.inputs(way(self.data.x_train))
        rng = np.random.default_rng([self.seed, 3, stream])
        done = 0
        while done < steps:
            part = min(every or len(x), len(x), steps - done)
            order = rng.permutation(len(x))[:part]
            self.codes.update(self.host.learn_many(x, self.data.y_train, order).tolist())
            done += part
            if read is not None:
                read()

    def accuracy(self, *, mirror: bool = False) -> float:
        """The share of the test samples that it gets right, in per cent."""
        way = mirrored if mirror else np.asarray
        best = self.host.predict_many(self.deployment.inputs(way(self.data.x_test)))[0]
        return 100.0 * float((best == self.data.y_test).mean())

    def weights(self) -> list[NDArray[np.float64]]:
        """The parameters that learn, flat, as they are stored."""
        return [self.host.tensor(tensor.name).reshape(-1).astype(np.float64) for tensor in watched(self.deployment.program)]

    def refused(self) -> dict[str, int]:
        """How often each code other than OK was returned."""
        return {Code(code).name: count for code, count in sorted(self.codes.items()) if code != Code.OK}


def drift(rule: str, numeric: Any, seed: int, **changes: float) -> dict[str, Any]:
    """The accuracy before the drift, right after it, and after it was learned, aged and fresh, in per cent."""
    device = Device(rule, numeric, seed, **changes)

    def adapted() -> float:
        readings: list[float] = []
        device.learn(DRIFTED, mirror=True, stream=1, every=DRIFTED // READINGS, read=lambda: readings.append(device.accuracy(mirror=True)))
        return float(np.mean(readings[-LAST:]))

    fresh = adapted()
    device.host.init()
    device.learn(AGED)
    before, at_once = device.accuracy(), device.accuracy(mirror=True)
    return {"fresh": fresh, "before": before, "at_once": at_once, "aged": adapted(), "refused": device.refused()}


def for_long(what: str, rule: str, numeric: Any) -> dict[str, float]:
    """The settings of a row that are not the rule's own."""
    if what == "anchored":
        return {"anchor": STRONGER.get((rule, numeric), ANCHOR)}
    return {"lr": SLOWER[rule, numeric]} if what != "drift" and (rule, numeric) in SLOWER else {}


def soak(rule: str, numeric: Any, seed: int, **changes: float) -> dict[str, Any]:
    """What a million steps leave, and whether they leave it again."""
    device = Device(rule, numeric, seed, **changes)
    limits = [LIMITS.get(tensor.dtype, 0) for tensor in watched(device.deployment.program)]
    ends, largest = [], []
    for _ in range(2):
        device.host.init()
        device.learn(AGED)
        largest.append([float(np.abs(values).max()) for values in device.weights()])
        device.learn(STEPS - AGED, stream=2)
        ends.append(hashlib.sha256(device.host.arena()[: device.host.memory.persistent_bytes].tobytes()).hexdigest())
    now = device.weights()
    windows = [
        float((np.abs(values[first : first + WINDOW]) >= limit).mean())
        for values, limit in zip(now, limits, strict=True)
        for first in range(0, len(values), WINDOW)
        if limit
    ]
    at_limit = sum(int((np.abs(values) >= limit).sum()) for values, limit in zip(now, limits, strict=True) if limit)
    return {
        "accuracy": device.accuracy(),
        "largest": [float(np.abs(values).max()) for values in now],
        "largest_aged": largest[0],
        "limits": limits,
        "at_limits": at_limit / sum(map(len, now)),
        "at_limits_of_a_window": max(windows, default=0.0),
        "finite": all(bool(np.isfinite(values).all()) for values in now),
        "identical": ends[0] == ends[1],
        "sha256": ends[0],
        "refused": device.refused(),
    }


def measure(what: str, rule: str, numeric: Any, seed: int) -> dict[str, Any]:
    """A row."""
    changes = for_long(what, rule, numeric)
    return (soak if what == "soak" else drift)(rule, numeric, seed, **changes) | changes


def keys(rules: list[str]) -> list[tuple[str, str, str, int]]:
    """The rows: a seed of drift and soak for each rule and numeric, then further seeds of the drift, then anchored or slower ones."""
    forms = [(rule, numeric) for rule in rules for numeric in registry.rules[rule].numerics]
    first = [(what, *form, 0) for form in forms for what in ("drift", "soak")]
    further = [("drift", *form, seed) for seed in range(1, SEEDS) for form in forms]
    held = [("anchored", *form) for form in forms if form[0] in ANCHORED] + [("slower", *form) for form in forms if form in SLOWER]
    return [*first, *further, *((*key, seed) for seed in range(SEEDS) for key in held)]


if __name__ == "__main__":
    collect("soak", keys([rule for rule in registry.rules if not sys.argv[1:] or rule in sys.argv[1:]]), measure, SEEDS)
