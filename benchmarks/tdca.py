"""What a meta-trained top-down network is worth: TDCA beside its untrained twin, DFA, BP and frozen hidden layers.

``[EDGEFF_DATA_DIR=..] python benchmarks/tdca.py [--fresh]`` -> ``benchmarks/results/tdca.json``, about 5 minutes on one core. A row is a
seed. Data: ``lessons``, synthetic tasks of the kind that the shipped network was evolved on, none of them among those; ``digits``;
``own``, where a top-down network is evolved on one half of digits' training part and used on the other half, on other seeds; ``mnist``,
where it lies in the folder, 5,000 images.

Each variant's factor on its credits (feedback_scale), or on MNIST on its learning rate, is chosen before by the loss on the last sixth of
the training samples, so that a better size of step alone does not count as better credit. The test part is read once.
``tdca_sizes.json`` compares the shipped network with random ones on 40 unseen synthetic tasks, size of credits by size.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.errors import Diverged
from edgeff.ir import Array
from edgeff.networks import initialised, structure
from edgeff.rules import find_rule
from edgeff.rules._tdca_training import MetaSettings, begin, drawn_from, inner_losses, inner_settings, meta_train, synthetic
from edgeff.rules._top_down import SHIPPED, random_top_down, read, unpacked, write
from edgeff.train.loop import Trained, accuracy, fit

VARIANTS = {"meta": "tdca", "random": "tdca", "dfa": "dfa", "bp": "bp", "frozen": "frozen", "shuffled": "tdca", "own": "tdca"}
SCALES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
RATES = (1.0, 0.3, 0.1, 0.03)
NETWORKS = ("64-32-10", "64-16-10", "64-64-10", "64-16-12-10")
SHORT, FULL = 6, 60
SEEDS = 5
LESSONS = 40
SIZES = (1.0, 1.4, 2.0)


def run(data: str, variant: str, network: str, epochs: int, factor: float, seed: int, x: Array, y: Array) -> Trained:
    """A trained network: the variant's own settings but for the epochs; the rate falls where their count is the full one."""
    rule = find_rule(VARIANTS[variant])
    before = settings_before(rule.name)
    settings = replace(before, epochs=epochs, decay_epochs=before.decay_epochs if epochs == FULL else ())
    if data == "mnist":
        settings = replace(settings, lr=factor * settings.lr)
    elif rule.name in ("tdca", "dfa"):
        settings = replace(settings, feedback_scale=factor)
    if rule.name == "tdca":
        settings = replace(settings, top_down=own() if variant == "own" else "random" if variant == "random" else "meta")
    if variant == "shuffled":
        y = np.random.default_rng(seed).permutation(y)
    return fit(initialised(structure(network), seed), rule.name, x, np.eye(10, dtype=np.float32)[y], settings, seed)


def measured(trained: Trained, x: Array, y: Array) -> dict[str, Any]:
    """Accuracy and cross-entropy."""
    scores = trained.scores(x)
    loss = -np.log(np.maximum(scores[np.arange(len(y)), y], 1e-12)).mean()
    return {"accuracy": round(accuracy(scores, y), 4), "loss": round(float(loss), 4)}


def parts(data: str, seed: int) -> tuple[Array, Array, Array, Array]:
    """Flat inputs and classes to train on, and to test on."""
    if data == "lessons":
        lesson = synthetic(np.random.default_rng([1_000, seed]))
        return lesson.x, lesson.y, lesson.x_validation, lesson.y_validation
    found = registry.tasks["mnist" if data == "mnist" else "digits"].load(seed if data == "digits" else 0)
    taken = slice(len(found.x_train) // 2, None) if data == "own" else slice(5000)
    flat, flat_test = (x.reshape(len(x), -1) for x in (found.x_train[taken], found.x_test))
    return flat, found.y_train[taken], flat_test, found.y_test


@cache
def best_factor(data: str, variant: str, network: str, epochs: int) -> float:
    """The factor of the smallest validation loss, mean of five seeds; 1 where there is none to choose."""
    if data != "mnist" and VARIANTS[variant] not in ("tdca", "dfa"):
        return 1.0

    def loss(factor: float, seed: int) -> float:
        x, y, _, _ = parts(data, seed)
        cut = len(x) * 5 // 6
        try:
            trained = run(data, variant, network, epochs, factor, seed, x[:cut], y[:cut])
        except Diverged:
            return math.inf
        return float(measured(trained, x[cut:], y[cut:])["loss"])

    losses = {factor: statistics.mean(loss(factor, seed) for seed in range(5)) for factor in (RATES if data == "mnist" else SCALES)}
    return min(losses, key=lambda factor: losses[factor])


def row(data: str, network: str, epochs: int, variant: str, seed: int) -> dict[str, Any]:
    """One row; shuffled labels take the factor of the right ones."""
    x, y, x_test, y_test = parts(data, seed)
    factor = best_factor(data, "meta" if variant == "shuffled" else variant, network, epochs)
    return {"factor": factor} | measured(run(data, variant, network, epochs, factor, seed, x, y), x_test, y_test)


@cache
def own() -> str:
    """The file of a top-down network evolved on the first half of digits' training part of seed 0."""
    data = registry.tasks["digits"].load(0)
    half = len(data.x_train) // 2
    path = Path(tempfile.mkdtemp()) / "own.npz"
    settings = MetaSettings(generations=100, runs=2, epochs=SHORT)
    write(path, meta_train(drawn_from(data.x_train[:half], data.y_train[:half], 10), settings), {"task": "digits, first half"})
    return str(path)


def keys() -> Iterable[tuple[Any, ...]]:
    """The rows, in order."""
    controls = ("meta", "random", "dfa", "bp", "frozen")
    yield from (("lessons", NETWORKS[0], SHORT, variant, seed) for variant in controls for seed in range(LESSONS))
    for epochs in (SHORT, FULL):
        yield from (("digits", NETWORKS[0], epochs, variant, seed) for variant in (*controls, "shuffled") for seed in range(SEEDS))
    for network in NETWORKS[1:]:
        yield from (("digits", network, SHORT, variant, seed) for variant in controls for seed in range(SEEDS))
    yield from (("own", NETWORKS[0], SHORT, variant, seed) for variant in ("own", *controls) for seed in range(10, 10 + SEEDS))
    if (Path(os.environ.get("EDGEFF_DATA_DIR", "")) / "mnist.npz").exists():
        yield from (("mnist", "784-64-10", 3, variant, seed) for variant in controls for seed in range(3))


def sizes(seed: int) -> dict[str, Any]:
    """The inner losses on one unseen lesson: as shipped, where it began, and six random ones' mean by the factor on their credits."""
    random = [random_top_down(10 + n) for n in range(6)]
    networks = [read(SHIPPED), begin(0).network, *(replace(each, U=np.float32(factor) * each.U) for factor in SIZES for each in random)]
    population = unpacked(np.stack([each.flat() for each in networks]))
    lesson = synthetic(np.random.default_rng([3_000, seed]))
    losses = inner_losses(population, lesson, 32, inner_settings(SHORT), 7_000 + seed)
    means = losses[2:].reshape(len(SIZES), len(random)).mean(axis=1)
    names = ["meta", "start", *(f"random x {factor:g}" for factor in SIZES)]
    return {name: round(float(loss), 4) for name, loss in zip(names, [*losses[:2], *means], strict=True)}


def main() -> None:
    """Collects the rows and prints the means, and each variant's paired difference from TDCA as shipped."""
    compared = collect("tdca_sizes", [(seed,) for seed in range(LESSONS)], sizes, seeds=LESSONS)
    for name in (key for key in compared[0] if key not in ("key", "commit")):
        ahead = [each[name] - each["meta"] for each in compared]
        error = statistics.stdev(ahead) / math.sqrt(len(ahead))
        print(
            "sizes",
            name,
            f"loss {statistics.mean(each[name] for each in compared):.4f};",
            f"meta is ahead by {statistics.mean(ahead):.4f}",
            end="",
        )
        print(f" (standard error {error:.4f})")
    rows = collect("tdca", keys(), row, seeds=SEEDS)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for made in rows:
        groups.setdefault(tuple(made["key"][:4]), []).append(made)
    for key, found in groups.items():
        accuracies = [100 * each["accuracy"] for each in found]
        shipped = [100 * each["accuracy"] for each in groups[(*key[:3], "meta")]]
        behind = [a - b for a, b in zip(shipped, accuracies, strict=True)]
        losses = [a["loss"] - b["loss"] for a, b in zip(groups[(*key[:3], "meta")], found, strict=True)]
        print(
            *key,
            f"{statistics.mean(accuracies):.2f} +- {statistics.stdev(accuracies):.2f} %,",
            f"loss {statistics.mean(each['loss'] for each in found):.4f}, factor {found[0]['factor']:g};",
            f"meta is ahead by {statistics.mean(behind):.2f} +- {statistics.stdev(behind):.2f}",
            f"and in loss by {-statistics.mean(losses):.4f} +- {statistics.stdev(losses):.4f}",
        )


if __name__ == "__main__":
    main()
