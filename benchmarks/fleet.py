"""Fleets of unequal devices: accuracy by round, even and skewed data, equal devices as controls, and the bytes that move.

``EDGEFF_DATA_DIR=.. nice python benchmarks/fleet.py`` -> ``benchmarks/results/fleet.json``. 784-64-64-10 on the 10,000 pictures of
Fashion-MNIST, 20 devices, float32. The rate is the best of three on a sixth of the training part, for each rule with one budget: five
rounds of 20 equal devices with all the memory and even data. The control ``alone`` is one device with all the data and memory.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from held_out import held_out
from results import collect

from edgeff.ir import Network, Numeric
from edgeff.networks import structure
from edgeff.program.deploy import deploy
from edgeff.registry import tasks
from edgeff.rules import find_rule
from edgeff.studies.fleet import Fleet, learn_together
from edgeff.tasks import Data
from edgeff.train.loop import train

TASK, NETWORK, SEEDS, ROUNDS, TRIAL_ROUNDS = "fashion_mnist", "784-64-64-10", 3, 15, 5
NUMERIC: Numeric = "float32"
KIB = 1024
FLEETS = {"unequal": (16, 64, 256), "all small": (16,), "all large": (256,)}
RATES = (1.0, 0.25, 4.0)
ANCHOR = 1e-4
RULES = ("bp", "pepita")


@lru_cache(maxsize=1)
def pictures() -> Data:
    """The task's data, flat."""
    data = tasks[TASK].load(0)
    return replace(data, x_train=data.x_train.reshape(len(data.x_train), -1), x_test=data.x_test.reshape(len(data.x_test), -1))


def fresh(data: Data, seed: int) -> Network:
    """First weights, normalised on the training part."""
    return train(data, structure(NETWORK), "bp", replace(find_rule("bp").settings, epochs=0), seed, guarded=False).network


@lru_cache(maxsize=4)
def rate(rule: str) -> float:
    """The chosen rate of a rule."""
    data = held_out(pictures())
    own = deploy(fresh(data, 0), data.x_train, rule=rule, numeric=NUMERIC).settings.lr
    reached = {}
    for share in RATES:
        fleet = Fleet(rule, NUMERIC, budgets=(256 * KIB,), rounds=TRIAL_ROUNDS, changes={"lr": own * share})
        reached[share] = learn_together(fresh(data, 0), data, fleet)[0][-1].accuracy
    return float(own * max(reached, key=lambda share: reached[share]))


def measure(rule: str, fleet: str, alpha: float | None, proximal: bool, seed: int) -> dict[str, Any]:
    """The rounds of a fleet."""
    data, changes = pictures(), {"lr": rate(rule)} | ({"anchor": ANCHOR} if proximal else {})
    clients, budgets = (1, (256,)) if fleet == "alone" else (20, FLEETS[fleet])
    item = Fleet(rule, NUMERIC, clients, tuple(KIB * b for b in budgets), ROUNDS, 1, alpha, changes, seed)
    rounds, tiers, _ = learn_together(fresh(data, seed), data, item)
    return {"rounds": [asdict(each) for each in rounds], "tiers": [asdict(tier) for tier in tiers], "lr": changes["lr"]}


if __name__ == "__main__":
    cases = [(rule, fleet, alpha, False) for rule in RULES for alpha in (None, 0.1) for fleet in FLEETS]
    cases += [("bp", "unequal", 0.1, True), ("bp", "alone", None, False)]
    collect("fleet", [(*case, seed) for seed in range(SEEDS) for case in cases], measure, SEEDS)
