"""Rows under the protocol: settings chosen by ``edgeff.bench.tuning`` on a part of the training samples, then one run on the test part.

A choice is made once for each training part (``benchmarks/results/chosen.json``): once for tasks whose split is the same for every seed,
else once for each seed, so that no test sample of a seed takes part in its choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.bench.learning import SCHEDULE
from edgeff.bench.metrics import measured
from edgeff.bench.tuning import SHARES, Choice, Search, candidates, choose, halved, validation_parts
from edgeff.device.simulate import learn_on_host
from edgeff.device.targets.host import HostTarget
from edgeff.errors import Diverged
from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.rules import find_rule
from edgeff.tasks import Data
from edgeff.train.loop import train


@lru_cache(maxsize=2)
def load(task: str, seed: int) -> Data:
    """The task's data."""
    found: Data = registry.tasks[task].load(seed)
    return found


def split_of(task: str, seed: int) -> int:
    """The first seed with the same test part as ``seed``: 0 for an official split."""
    first, own = load(task, 0), load(task, seed)
    return 0 if np.array_equal(first.x_test, own.x_test) else seed


def plain(task: str, network: str, seed: int) -> Network:
    """The structure of a network, without biases, for the task's data."""
    data = load(task, seed)
    return structure(network, input_shape=data.input_shape, classes=len(data.classes))


def kept(key: tuple[Any, ...], search: Search, how: Callable[[], dict[str, Any]], kept_in: str = "chosen") -> dict[str, Any]:
    """How settings were chosen, and which: what a row gives as ``chosen_by``. A choice that was made before, and is in the results file
    ``kept_in``, is not made again.
    """
    full = (*key, search.seed, search.epochs, search.candidates, search.splits)
    row = next(row for row in collect(kept_in, [full], lambda *_key: how()))
    return {name: value for name, value in row.items() if name not in ("key", "commit")}


def kept_choice(key: tuple[Any, ...], search: Search, make: Callable[[], Choice], kept_in: str = "chosen") -> dict[str, Any]:
    """The same for a choice of ``edgeff.bench.tuning``."""
    return kept(key, search, lambda: make().how(search), kept_in)


def protocol_row(
    task: str, network: str, rule: str, seed: int, search: Search, fixed: Mapping[str, Any] | None = None, kept_in: str = "chosen"
) -> dict[str, Any]:
    """The test accuracy in per cent with chosen settings, None for a run that diverged; the test part is read once."""
    own = replace(search, seed=split_of(task, seed))
    item, fixed = registry.tasks[task], fixed or {}

    def make() -> Choice:
        return choose(load(task, own.seed), plain(task, network, own.seed), network, rule, own, item, fixed=fixed)

    def chosen() -> dict[str, Any]:
        return kept_choice((task, network, rule, dict(fixed)), own, make, kept_in)

    return host_row(load(task, seed), plain(task, network, seed), task, rule, seed, chosen)


def host_row(data: Data, network: Network, task: str, rule: str, seed: int, chosen: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The task's metric on the test part of ``data`` in per cent, with settings that are ``chosen``; None if choice or run diverge."""
    how: dict[str, Any] = {"by": "search on validation samples"}
    try:
        how = chosen()
        settings = find_rule(rule).settings.changed({name: text(value) for name, value in how["settings"].items()})
        trained = train(data, network, rule, settings, seed, task=task, guarded=False)
    except Diverged as error:
        return {"accuracy": None, "diverged": True, "why": str(error), "chosen_by": how}
    value = measured(registry.tasks[task].metric, trained.network, data.x_test, trained.scores(data.x_test), data.y_test, data.files_test)
    return {"accuracy": round(100 * value, 2), "diverged": False, "chosen_by": how}


Learner = Callable[[Data, Mapping[str, Any], int], float]
"""What learning on samples with changed settings for some epochs reaches on the test part, a share."""


def learned_by_c(
    fresh: Network,
    rule: str,
    numeric: Any,
    seed: int,
    decay_steps: Callable[[Data, int], int],
    *,
    stochastic: bool,
    fixed: Mapping[str, Any] | None = None,
) -> Learner:
    """Learning by the generated C from the weights of ``fresh``, one sample at a time.

    The rate falls after ``decay_steps(data, epochs)`` steps; ``fixed`` are settings that no choice changes.
    """

    def learned(part: Data, changes: Mapping[str, Any], epochs: int) -> float:
        options = {**SCHEDULE, "decay_steps": decay_steps(part, epochs), **(fixed or {}), **changes}
        deployment = deploy(fresh, part.x_train, rule=rule, numeric=numeric, changes=options, seed=seed, stochastic=stochastic)
        return learn_on_host(HostTarget(deployment.program), deployment, part, epochs, seed, points=1).after

    return learned


def device_choice(data: Data, start: Any, search: Search, learned: Learner) -> dict[str, Any]:
    """How settings around ``start`` were chosen by what the C learns on a part of the training samples, and which."""
    points = candidates(start, search)
    parts = [data.validation(*part) for part in validation_parts(data, search)]
    scores: dict[tuple[int, int], list[float]] = {}

    def score(number: int, share: int, split: int) -> float:
        value = learned(parts[split], points[number], search.epochs_of(share))
        scores.setdefault((number, share), []).append(value)
        return value

    best = halved(search, score)
    how = {"by": "search on validation samples", "candidates": search.candidates, "budget_epochs": search.budget_epochs}
    return how | {"settings": points[best], "validation_accuracy": round(float(np.mean(scores[best, SHARES[-1]])), 4)}


def device_row(network: str, rule: str, numeric: Any, seed: int, search: Search, *, stochastic: bool) -> dict[str, Any]:
    """The test accuracy in per cent of digits learned by the generated C from fresh weights, one sample at a time, with chosen settings.

    The rate falls by ``SCHEDULE``, in a trial of fewer epochs as much sooner.
    """
    data, fresh = load("digits", seed), initialised(plain("digits", network, seed), seed)
    own = replace(search, seed=seed)

    def decay_steps(_part: Data, epochs: int) -> int:
        return round(SCHEDULE["decay_steps"] * epochs / search.epochs)

    learned = learned_by_c(fresh, rule, numeric, seed, decay_steps, stochastic=stochastic)
    start = deploy(fresh, data.x_train, rule=rule, numeric=numeric, seed=seed, stochastic=stochastic).settings
    how = device_choice(data, start, own, learned)
    return {"accuracy": round(100 * learned(data, how["settings"], search.epochs), 2), "diverged": False, "chosen_by": how}


def text(value: Any) -> str:
    """A setting as ``Settings.changed`` reads it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
