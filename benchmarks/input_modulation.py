"""PEPITA's modulated input mixed with an adversarial one, over four activation functions: accuracy, and accuracy under attack, on digits.

``python benchmarks/input_modulation.py`` -> ``benchmarks/results/input_modulation.json``, its choices in
``input_modulation_chosen.json``; a row is a seed. Lee, Yang & Park (2024, abstract): an adversarial perturbation is close to PEPITA's
modulation, and a proper combination of both with an activation function improves accuracy and robustness. How they combine is our reading:
pass 2 sees x + m with

    pepita                m = F e
    adversarial           m = -a,  a = sign(d loss / d x) of the root mean square of F e, sample by sample
    mixed                 m = (F e - a) / 2
    mixed, other sign     m = (F e + a) / 2: the perturbation as an attacker has it

PEPITA's update with ``x + F e`` climbs the loss along m, so F e, once the weights have aligned with it, lowers the loss, and so does -a.
64-32-10 with biases, 8 epochs, mini-batches of 32, no dropout. Controls: back-propagation, and the hidden layer as drawn. Settings are
chosen on each seed's training part by one search of the same budget, by accuracy. The test part is looked at once, as it is and under FGSM
and PGD of 0.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from adversarial_training import learn
from protocol import kept_choice, load, text
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.ir import Array, Network
from edgeff.networks import initialised
from edgeff.networks._stack import Stack
from edgeff.ops import Operator, forward, with_parameters
from edgeff.ops.backward import input_gradient
from edgeff.ops.leaky_relu import LeakyRelu
from edgeff.ops.logistic import Logistic
from edgeff.ops.relu import Relu
from edgeff.ops.softmax import Softmax
from edgeff.ops.tanh import Tanh
from edgeff.rules import Rule, Run, find_rule
from edgeff.rules.pepita import Pepita
from edgeff.studies.attack import Attacked, Settings, sweep
from edgeff.tasks import Data
from edgeff.train.loop import accuracy

ACTIVATIONS: Mapping[str, Operator] = {"relu": Relu(), "leaky_relu": LeakyRelu(), "tanh": Tanh(), "logistic": Logistic()}
SHARES: Mapping[str, tuple[float, float]] = {
    "pepita": (1.0, 0.0),
    "adversarial": (0.0, -1.0),
    "mixed": (0.5, -0.5),
    "mixed, other sign": (0.5, 0.5),
}
"""The factors of F e and of a."""
WAYS = ("frozen", "bp", *SHARES)
SEEDS, EPSILON, SEARCH = 5, 0.1, Search(epochs=8, candidates=9, splits=1)
FIXED = {"batch": 32}


class Mixed(Pepita):
    """PEPITA whose second pass sees a mixture; what it compares is the output of the activation function."""

    def __init__(self, error: float, adversarial: float) -> None:
        self.error, self.adversarial = error, adversarial

    def start(self, run: Run) -> None:
        super().start(run)
        run.extra["compared"] |= {
            layer.inputs[0]: layer.name for layer in run.network if layer.inputs[0] in run.extra["compared"] and not layer.trainable
        }

    def _modulated(self, run: Run, x: Array, e: Array) -> Array:
        change = e @ run.extra["F"].T
        if self.adversarial:
            h = forward(run.network, run.params, x)
            slope = input_gradient(run.network, run.params, h, run.last.name, e)
            size = np.sqrt(np.mean(change * change, axis=1, keepdims=True))
            change = self.error * change + self.adversarial * size * np.sign(slope)
        return np.asarray(x + change, x.dtype)


def network(activation: str) -> Network:
    """64-32-10 with a layer for the activation function."""
    stack = Stack((64,))
    stack.dense("dense_1", 32)
    stack.add(activation, ACTIVATIONS[activation])
    stack.dense("dense_2", 10)
    stack.add("softmax", Softmax())
    return stack.network(f"64-32 {activation}-10")


def rule_of(way: str) -> tuple[str, Rule]:
    """The name of the rule that has the settings, and the rule that learns."""
    return ("pepita", Mixed(*SHARES[way])) if way in SHARES else (way, find_rule(way))


def measure(activation: str, way: str, seed: int) -> dict[str, Any]:
    """The accuracies in per cent on the test part as it is, under FGSM and under PGD."""
    data, plain, search = load("digits", seed), network(activation), replace(SEARCH, seed=seed)
    name, rule = rule_of(way)
    fixed = FIXED | ({"dropout": 0.0} if way in SHARES else {})

    def run(part: Data, settings: Any, run_seed: int) -> float | None:
        learned = learn(initialised(plain, run_seed), rule, settings, part, run_seed, 0.0, 0)
        scores = rule.scores(learned, part.x_test)
        return accuracy(scores, part.y_test) if np.isfinite(scores).all() else None

    def make() -> Choice:
        return choose(data, plain, plain.name, name, search, registry.tasks["digits"], fixed=fixed, run=run)

    how = kept_choice((activation, way), search, make, "input_modulation_chosen")
    settings = find_rule(name).settings.changed({key: text(value) for key, value in how["settings"].items()})
    fresh = initialised(plain, seed)
    learned = learn(fresh, rule, settings, data, seed, 0.0, 0)
    attack = Settings(epsilons=(EPSILON,), seed=seed)
    found = sweep(Attacked(with_parameters(fresh, learned.params)), data.x_test, data.y_test, (0.0, 1.0), attack)
    (point,) = found.points
    shares = {"natural": found.natural, "fgsm": point.fgsm, "pgd": point.pgd}
    return {what: round(100 * share, 2) for what, share in shares.items()} | {"chosen_by": how}


if __name__ == "__main__":
    collect(
        "input_modulation", [(activation, way, seed) for seed in range(SEEDS) for activation in ACTIVATIONS for way in WAYS], measure, SEEDS
    )
