"""Early exits of LightFF for Forward-Forward, PEPITA and back-propagation, as they should be and with the leak of the public code.

``EDGEFF_DATA_DIR=.. python benchmarks/light_exits.py`` -> ``benchmarks/results/light_exits.json``, its choices in
``light_exits_chosen.json``; a row is a seed. Aminifar et al. (2024): samples that are sure stop early at equal accuracy, on MNIST, MIT-BIH
and others, for FF, and for PEPITA and BP with a softmax head fitted to each hidden layer after training. Three hidden layers of 64 units;
the first 2,000 training and 2,000 test samples of MNIST, as many drawn from MIT-BIH (other patients test than train); 6 epochs.
Settings are chosen once for each task and rule on the training part, by one search of the same budget. ``frozen`` has its hidden layers as
drawn and heads like the others; PEPITA is normalised.

Two exits. ``margin``: ours (``edgeff.studies.early_exit``): best score less second best above the mean less the deviation of that margin
over training samples that are classified rightly. ``leak``: as in a public implementation the score of the **true** label of the test
sample is compared with the mean less the deviation of the true label's score over training samples; no device has that label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from protocol import kept_choice, load, text
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.ir import Array, Network
from edgeff.networks import structure
from edgeff.ops import forward
from edgeff.rules import LayerScores, Rule, Run, find_rule
from edgeff.rules._readout import fit_readout
from edgeff.studies.early_exit import fit_thresholds, walk
from edgeff.tasks import Data
from edgeff.train.loop import Trained, accuracy, train

NETWORKS = {"mnist": "784-64-64-64-10", "mitbih": "128-64-64-64-5"}
SIZES = {"mnist": (2_000, 2_000), "mitbih": (2_000, 2_000)}
RULES = ("ff", "pepita", "bp", "frozen")
SEEDS, SEARCH, BATCH = 5, Search(epochs=6, candidates=9, splits=1), 32
FIXED: dict[str, dict[str, Any]] = {"pepita": {"normalise": True}}
"""Without normalisation PEPITA diverges in networks of four layers (``depth.py``)."""
HEAD_EPOCHS, HEAD_RATE = 10, 5e-3


class Heads(Rule):
    """The exits of a network that was trained whole: after each hidden layer a linear head fitted to it, last its own output."""

    name = "heads"

    def __init__(self, trained: Trained, data: Data) -> None:
        run, network = trained.run, trained.run.network
        rng = np.random.default_rng([run.seed, 14])
        h, targets = forward(network, run.params, data.x_train), data.targets(data.y_train)
        self.heads: dict[str, dict[str, Array]] = {}
        for layer in run.hidden:
            weight = np.zeros((targets.shape[1], prod(layer.shape)), np.float32)
            self.heads[layer.name] = {"weight": weight, "bias": np.zeros(targets.shape[1], np.float32)}
        for name, head in self.heads.items():
            options = {"epochs": HEAD_EPOCHS, "lr": HEAD_RATE, "batch": BATCH, "dropout": 0.0}
            fit_readout([head], [h[name]], targets, softmax=True, rng=rng, **options)  # type: ignore[arg-type]

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores]:
        """The logits after each hidden layer, and those of the network's own head."""
        h, spent = forward(run.network, run.params, x), 0
        for layer in run.hidden:
            head = self.heads[layer.name]
            spent += layer.params["weight"].size + head["weight"].size
            yield LayerScores(layer.name, h[layer.name] @ head["weight"].T + head["bias"], spent)
        yield LayerScores(run.last.name, h[run.last.name], spent + run.last.params["weight"].size)


@lru_cache(maxsize=2)
def part(task: str) -> Data:
    """A part of a task's samples, the same for every seed."""
    data, rng = load(task, 0), np.random.default_rng(15)
    some = [np.arange(n) if task == "mnist" else np.sort(rng.permutation(m)[:n]) for n, m in zip(SIZES[task], lengths(data), strict=True)]
    train_part, test_part = (each[:m] for each, m in zip(some, lengths(data), strict=True))
    groups = None if data.groups_train is None else data.groups_train[train_part]
    return replace(
        data,
        x_train=data.x_train[train_part].reshape(len(train_part), -1),
        y_train=data.y_train[train_part],
        x_test=data.x_test[test_part].reshape(len(test_part), -1),
        y_test=data.y_test[test_part],
        groups_train=groups,
        files_test=None,
    )


def lengths(data: Data) -> tuple[int, int]:
    return len(data.x_train), len(data.x_test)


def plain(task: str) -> Network:
    return structure(NETWORKS[task], bias=True)


def leaking(rule: Rule, run: Run, data: Data) -> dict[str, float]:
    """The accuracy, the layers and the multiply-accumulates where the true label's score decides."""
    count = np.arange(len(data.x_test))
    limits = [
        float(own.mean() - own.std())
        for _, scores, _ in scored(rule, run, data.x_train)
        for own in [scores[np.arange(len(data.y_train)), data.y_train]]
    ]
    exits = scored(rule, run, data.x_test)
    stopped, right, layers, spent = (np.zeros(len(count), kind) for kind in (bool, bool, np.int64, np.int64))
    for number, (_, scores, macs) in enumerate(exits):
        last = number + 1 == len(exits)
        now = ~stopped & (last | (scores[count, data.y_test] >= limits[number]))
        right[now], layers[now], spent[now] = (scores.argmax(axis=1) == data.y_test)[now], number + 1, macs
        stopped |= now
    return {"accuracy": percent(right), "layers": round(float(layers.mean()), 3), "macs": round(float(spent.mean()))}


def scored(rule: Rule, run: Run, x: Array) -> list[LayerScores]:
    """The scores after every layer."""
    found = rule.layer_scores(run, x)
    if found is None:
        raise ValueError(f"rule {rule.name} has no scores of its layers")
    return list(found)


def percent(right: Array) -> float:
    return round(100 * float(right.mean()), 2)


def measure(task: str, rule_name: str, seed: int) -> dict[str, Any]:
    """Accuracy in per cent, layers and multiply-accumulates per sample: of the whole network, of the walk, of the walk that leaks."""
    data, network = part(task), plain(task)
    fixed: dict[str, Any] = {"batch": BATCH, **FIXED.get(rule_name, {})}

    def make() -> Choice:
        return choose(data, network, NETWORKS[task], rule_name, SEARCH, registry.tasks[task], fixed=fixed)

    how = kept_choice((task, rule_name), SEARCH, make, "light_exits_chosen")
    settings = find_rule(rule_name).settings.changed({name: text(value) for name, value in how["settings"].items()})
    trained = train(data, network, rule_name, settings, seed, guarded=False)
    rule = trained.rule if rule_name == "ff" else Heads(trained, data)
    found = walk(rule, trained.run, data.x_test, fit_thresholds(rule, trained.run, data.x_train, data.y_train))
    exits = scored(rule, trained.run, data.x_test)
    without_heads = sum(layer.params["weight"].size for layer in trained.run.network.trainable)
    whole = {"accuracy": round(100 * accuracy(exits[-1].scores, data.y_test), 2), "layers": len(exits)}
    early = {"accuracy": percent(found.predicted == data.y_test), "layers": round(float(found.layers.mean()), 3)}
    return {
        "whole": whole | {"macs": found.full_macs if rule_name == "ff" else without_heads},
        "margin": early | {"macs": round(float(found.macs.mean()))},
        "leak": leaking(rule, trained.run, data),
        "chosen_by": how,
    }


if __name__ == "__main__":
    collect("light_exits", [(task, rule, seed) for task in NETWORKS for seed in range(SEEDS) for rule in RULES], measure, SEEDS)
