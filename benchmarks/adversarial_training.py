"""PEPITA and back-propagation trained on attacks, at equal natural accuracy: MNIST and Fashion-MNIST, 784-64-10, 2,000 images.

``EDGEFF_DATA_DIR=.. python benchmarks/adversarial_training.py`` -> ``benchmarks/results/adversarial_training.json``, its choices in
``adversarial_training_chosen.json``; a row is a seed. Farinha et al. (2023, abstract): trained on attacks, at equal natural accuracy,
PEPITA's accuracy under attack is on average .26 points lower and that of back-propagation 8.05, on MNIST. Half of each mini-batch is
replaced by its FGSM or PGD examples on the weights as they are (``EPSILON``, the exact gradient, for PEPITA too); with ``none`` it stays.
PEPITA learns for all epochs. Back-propagation is stopped at the first look, every 5 batches, at which it is no worse on 1,000 unmoved
images than PEPITA trained in the same way; where it never is, it has all its epochs and the row says so. ``frozen`` has a hidden layer as
drawn. Rates are chosen once for each task, rule and way of training by one search of the same budget (``edgeff.bench.tuning``), by the
accuracy on validation images that the same attack has moved. The 1,000 test images are looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from protocol import kept_choice, load, text
from results import collect
from threadpoolctl import threadpool_limits

from edgeff import registry
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.ir import Array, Network
from edgeff.networks import initialised, structure
from edgeff.ops import Params, forward, kind, parameters, with_parameters
from edgeff.ops.backward import input_gradient
from edgeff.rules import Rule, Run, find_rule
from edgeff.rules._rates import resolved
from edgeff.studies.attack import Attacked, Settings, sweep
from edgeff.studies.attack.gradients import soft_margin
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, start
from edgeff.train.optimisers import OPTIMISERS

NETWORK, SEEDS, LOOK = "784-64-10", 5, 5
TRAINED, KEPT, TESTED = 2_000, 1_000, 1_000
EPSILON: Mapping[str, float] = {"mnist": 0.1, "fashion_mnist": 0.05}
STEPS: Mapping[str, int] = {"none": 0, "fgsm": 1, "pgd": 5}
"""Steps of the attack that a mini-batch is trained on."""
RULES = ("pepita", "bp", "frozen")
SEARCH, BATCH = Search(epochs=8, candidates=9, splits=1), 32
Stop = Callable[[Run], bool]


def moved(network: Network, params: Params, x: Array, y: Array, eps: float, steps: int, rng: np.random.Generator) -> Array:
    """x (n, *input shape) float32 within [0, 1], moved by at most ``eps`` up the loss of labels y (n,): FGSM for one step, else PGD from a
    random point of the ball, in steps of 2.5 eps / steps.
    """
    if not steps:
        return x
    last = network.layers[-1]
    top = last.inputs[0] if kind(last).probabilities else last.name
    low, high = np.maximum(x - np.float32(eps), 0.0), np.minimum(x + np.float32(eps), 1.0)
    size = np.float32(eps if steps == 1 else 2.5 * eps / steps)
    here = x if steps == 1 else np.clip(x + rng.uniform(-eps, eps, x.shape).astype(x.dtype), low, high)
    for _ in range(steps):
        h = forward(network, params, here)
        slope = soft_margin(h[top].astype(np.float64), y)[1].astype(x.dtype)
        here = np.clip(here + size * np.sign(input_gradient(network, params, h, top, slope)), low, high)
    return np.asarray(here)


def learn(network: Network, rule: Rule, settings: Any, data: Data, seed: int, eps: float, steps: int, stop: Stop | None = None) -> Run:
    """The run of a rule on the training part, half of each mini-batch moved; ``stop`` is asked every ``LOOK`` batches."""
    x, y = data.x_train, data.y_train
    settings, targets = resolved(rule, settings, network, x), data.targets(y)
    run = start(network, rule, settings, seed)
    optimiser, rng = OPTIMISERS[settings.optimiser](run), np.random.default_rng([seed, 12])
    with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(settings.epochs):
            run.epoch, run.lr = epoch, settings.rate(epoch)
            order = run.rng.permutation(len(x))
            for first in range(0, len(order), settings.batch):
                index = order[first : first + settings.batch]
                inputs, half = x[index], index[len(index) // 2 :]
                if steps:
                    inputs = np.concatenate([inputs[: -len(half)], moved(network, run.params, x[half], y[half], eps, steps, rng)])
                optimiser.apply(rule.step(run, inputs, targets[index]), run.lr)
                if stop and optimiser.steps % LOOK == 0 and stop(run):
                    return run
    return run


@lru_cache(maxsize=2)
def images(task: str) -> Data:
    """The task with the first ``TRAINED`` training images, and ``TESTED`` test images."""
    data = load(task, 0)
    x_train, y_train, x_test, y_test = data.x_train[:TRAINED], data.y_train[:TRAINED], data.x_test[:TESTED], data.y_test[:TESTED]
    return replace(data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def kept(task: str) -> tuple[Array, Array]:
    """Training images after those that are learned from, by which to stop."""
    data = load(task, 0)
    return data.x_train[TRAINED : TRAINED + KEPT], data.y_train[TRAINED : TRAINED + KEPT]


def plain(task: str) -> Network:
    return structure(NETWORK, bias=True, input_shape=images(task).input_shape)


def under(network: Network, x: Array, y: Array, eps: float, steps: int) -> float:
    """The accuracy on x moved by an attack of so many steps, a share; NaN counts as wrong."""
    params = parameters(network)
    there = moved(network, params, x, y, eps, steps, np.random.default_rng(13))
    return accuracy(np.nan_to_num(forward(network, params, there)[network.layers[-1].name]), y)


def settings_of(task: str, rule: str, training: str) -> tuple[Any, dict[str, Any]]:
    """The chosen settings, and how they were chosen."""
    eps, steps = EPSILON[task], STEPS[training]

    def run(part: Data, settings: Any, seed: int) -> float | None:
        learned = learn(initialised(plain(task), seed), find_rule(rule), settings, part, seed, eps, steps)
        return under(with_parameters(learned.network, learned.params), part.x_test, part.y_test, eps, steps)

    def make() -> Choice:
        return choose(images(task), plain(task), NETWORK, rule, SEARCH, registry.tasks[task], fixed={"batch": BATCH}, run=run)

    how = kept_choice((task, rule, training), SEARCH, make, "adversarial_training_chosen")
    return find_rule(rule).settings.changed({name: text(value) for name, value in how["settings"].items()}), how


def attacked(network: Network, task: str, data: Data, seed: int) -> dict[str, float]:
    """The accuracies in per cent on the test images as they are, under FGSM and under PGD of 20 steps."""
    found = sweep(Attacked(network), data.x_test, data.y_test, (0.0, 1.0), Settings(epsilons=(EPSILON[task],), seed=seed))
    (point,) = found.points
    return {"natural": round(100 * found.natural, 2), "fgsm": round(100 * point.fgsm, 2), "pgd": round(100 * point.pgd, 2)}


def measure(task: str, training: str, seed: int) -> dict[str, Any]:
    """The three rules trained in one way: natural accuracy and that under attack, the settings, when back-propagation stopped."""
    data, (x_kept, y_kept) = images(task), kept(task)
    eps, steps, network = EPSILON[task], STEPS[training], initialised(plain(task), seed)
    models: dict[str, Any] = {}
    wanted = 1.0

    def good(run: Run, rule: Rule) -> bool:
        return accuracy(rule.scores(run, x_kept), y_kept) >= wanted

    for name in RULES:
        rule = find_rule(name)
        settings, how = settings_of(task, name, training)
        run = learn(network, rule, settings, data, seed, eps, steps, partial(good, rule=rule) if name == "bp" else None)
        reached = accuracy(rule.scores(run, x_kept), y_kept)
        wanted = reached if name == "pepita" else wanted
        models[name] = {
            **attacked(with_parameters(network, run.params), task, data, seed),
            "kept": round(100 * reached, 2),
            "steps": run.steps,
            "chosen_by": how,
        }
        if name == "bp":
            models[name]["matched"] = reached >= wanted
    return {"network": NETWORK, "epsilon": eps, "models": models}


if __name__ == "__main__":
    keys = [(task, training, seed) for task in EPSILON for training in STEPS for seed in range(SEEDS)]
    for row in collect("adversarial_training", keys, measure, SEEDS):
        shown = {name: [model[what] for what in ("natural", "fgsm", "pgd")] for name, model in row["models"].items()}
        print(*row["key"], shown)
