"""What a meta-trained top-down network is worth: TDCA beside its untrained twin, DFA, BP and frozen hidden layers.

``[EDGEFF_DATA_DIR=..] python benchmarks/tdca.py [--fresh]`` -> ``benchmarks/results/tdca.json``, about 3 minutes on one core. A row is a
seed. ``lessons`` rows train on synthetic tasks of the kind that the shipped network was evolved on, none of them among those; ``test`` rows
train on digits and read the test part once. Each variant's factor on its credits (feedback_scale) is chosen before, by
the loss on the last sixth of the training part, so that a better size of step alone does not count as better credit. ``own`` rows evolve a
top-down network on one half of digits' training part (seed 0) and train with it on the other half, on other seeds. ``mnist`` rows, where
the data lie in the folder, train 784-64-10 on 5,000 images for three epochs, with the learning rate chosen on the last sixth of them; the
shipped network saw neither task.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.rules import find_rule
from edgeff.rules._tdca_training import MetaSettings, drawn_from, meta_train, synthetic
from edgeff.rules._top_down import write
from edgeff.train import accuracy, fit

VARIANTS = {"meta": "tdca", "random": "tdca", "dfa": "dfa", "bp": "bp", "frozen": "frozen", "shuffled": "tdca"}
SCALES = (0.5, 1.0, 2.0, 4.0)
RATES = (1.0, 0.3, 0.1, 0.03)
NETWORKS = ("64-32-10", "64-16-10", "64-64-10", "64-16-12-10")
SHORT, FULL = 6, 60
SEEDS = 5


def run(variant: str, network: str, epochs: int, scale: float, seed: int, x: Array, y: Array, source: str = "", slower: float = 1.0) -> Any:
    """A trained network: the variant's own settings but for the epochs; the rate falls where their count is the full one."""
    rule = find_rule(VARIANTS.get(variant, "tdca"))
    settings = replace(
        rule.settings, lr=slower * rule.settings.lr, epochs=epochs, decay_epochs=rule.settings.decay_epochs if epochs == FULL else ()
    )
    if rule.name in ("tdca", "dfa"):
        settings = replace(settings, feedback_scale=scale)
    if rule.name == "tdca":
        settings = replace(settings, top_down=source or ("random" if variant == "random" else "meta"))
    if variant == "shuffled":
        y = np.random.default_rng(seed).permutation(y)
    return fit(initialised(structure(network), seed), rule.name, x, np.eye(10, dtype=np.float32)[y], settings, seed)


def measured(trained: Any, x: Array, y: Array) -> dict[str, Any]:
    """Accuracy and cross-entropy."""
    scores = trained.scores(x)
    loss = -np.log(np.maximum(scores[np.arange(len(y)), y], 1e-12)).mean()
    return {"accuracy": round(accuracy(scores, y), 4), "loss": round(float(loss), 4)}


@cache
def best_scale(variant: str, network: str, epochs: int) -> float:
    """The factor of the smallest validation loss, mean of three seeds."""
    if variant not in ("meta", "random", "dfa"):
        return 1.0
    losses = {scale: statistics.mean(validation(variant, network, epochs, scale, seed) for seed in range(3)) for scale in SCALES}
    return min(losses, key=lambda scale: losses[scale])


def validation(variant: str, network: str, epochs: int, scale: float, seed: int) -> float:
    """The loss on the last sixth of the training part."""
    data = registry.tasks["digits"].load(seed)
    cut = len(data.x_train) * 5 // 6
    trained = run(variant, network, epochs, scale, seed, data.x_train[:cut], data.y_train[:cut])
    return float(measured(trained, data.x_train[cut:], data.y_train[cut:])["loss"])


def row(kind: str, network: str, epochs: int, variant: str, seed: int) -> dict[str, Any]:
    """One row; see the module's docstring."""
    if kind == "lessons":
        lesson = synthetic(np.random.default_rng([1_000, seed]))
        trained = run(variant, network, epochs, 1.0, seed, lesson.x, lesson.y)
        return measured(trained, lesson.x_validation, lesson.y_validation)
    if kind == "own":
        data = registry.tasks["digits"].load(0)
        half = len(data.x_train) // 2
        source = own(half) if variant == "own" else ""
        trained = run(variant, network, epochs, 1.0, seed, data.x_train[half:], data.y_train[half:], source)
        return measured(trained, data.x_test, data.y_test)
    if kind == "mnist":
        x, y, x_test, y_test = mnist()
        slower = rate_factor(variant, network, epochs)
        return {"slower": slower} | measured(run(variant, network, epochs, 1.0, seed, x, y, slower=slower), x_test, y_test)
    data, scale = registry.tasks["digits"].load(seed), best_scale(variant, network, epochs)
    trained = run(variant, network, epochs, scale, seed, data.x_train, data.y_train)
    return {"scale": scale} | measured(trained, data.x_test, data.y_test)


@cache
def mnist() -> tuple[Array, Array, Array, Array]:
    """Flat images and classes: 5,000 to train on, and the test part."""
    data = registry.tasks["mnist"].load(0)
    return data.x_train[:5000].reshape(5000, -1), data.y_train[:5000], data.x_test.reshape(len(data.x_test), -1), data.y_test


@cache
def rate_factor(variant: str, network: str, epochs: int) -> float:
    """The factor on the rule's learning rate of the smallest loss on the last sixth of MNIST's training images."""
    x, y, _, _ = mnist()
    cut = len(x) * 5 // 6
    losses = {f: measured(run(variant, network, epochs, 1.0, 0, x[:cut], y[:cut], slower=f), x[cut:], y[cut:])["loss"] for f in RATES}
    return min(losses, key=lambda factor: losses[factor])


@cache
def own(half: int) -> str:
    """The file of a top-down network evolved on the first half of digits' training part of seed 0."""
    data = registry.tasks["digits"].load(0)
    path = Path(tempfile.mkdtemp()) / "own.npz"
    settings = MetaSettings(generations=100, runs=2, epochs=SHORT)
    write(path, meta_train(drawn_from(data.x_train[:half], data.y_train[:half], 10), settings), {"task": "digits, first half"})
    return str(path)


def keys() -> Iterable[tuple[Any, ...]]:
    """The rows, in order."""
    for variant in list(VARIANTS)[:5]:
        yield from (("lessons", NETWORKS[0], SHORT, variant, seed) for seed in range(2 * SEEDS))
    for network in NETWORKS:
        for epochs in (SHORT, FULL) if network == NETWORKS[0] else (SHORT,):
            for variant in VARIANTS if network == NETWORKS[0] else list(VARIANTS)[:4]:
                yield from (("test", network, epochs, variant, seed) for seed in range(SEEDS))
    for variant in ("own", "meta", "random", "dfa", "bp"):
        yield from (("own", NETWORKS[0], SHORT, variant, seed) for seed in range(10, 10 + SEEDS))
    if (Path(os.environ.get("EDGEFF_DATA_DIR", "")) / "mnist.npz").exists():
        for variant in list(VARIANTS)[:5]:
            yield from (("mnist", "784-64-10", 3, variant, seed) for seed in range(3))


def main() -> None:
    """Collects the rows and prints the means."""
    rows = collect("tdca", keys(), row, seeds=SEEDS)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for found in rows:
        groups.setdefault(tuple(found["key"][:4]), []).append(found)
    for key, found in groups.items():
        accuracies = [100 * each["accuracy"] for each in found]
        loss = statistics.mean(each["loss"] for each in found)
        factor = f", feedback_scale {found[0]['scale']:g}" if "scale" in found[0] else ""
        factor += f", learning rate x {found[0]['slower']:g}" if "slower" in found[0] else ""
        print(*key, f"{statistics.mean(accuracies):.2f} +- {statistics.stdev(accuracies):.2f} %, loss {loss:.4f}{factor}")


if __name__ == "__main__":
    main()
