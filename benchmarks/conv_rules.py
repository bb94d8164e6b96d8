"""Rules side by side on one small convolutional network: cnn_small on MNIST and on the CIFAR-10 subset, three seeds, on the host.

``EDGEFF_DATA_DIR=.. python benchmarks/conv_rules.py`` -> ``benchmarks/results/conv_rules.json``, a row a task, rule and seed; rows that are
there already are kept. ``--validate TASK NAME [setting=value ..]`` trains one seed on five sixths of the training part and prints the
accuracy on the last sixth: that is how the settings below were chosen, with the test part unseen. Inputs are scaled alike for all rules, by
the mean and the deviation of the training part (a row says which).

``norm`` beside a rule: its convolutions have batch normalisation while they train, which folds away afterwards; cwc and block_ff bring it
themselves, and ``cwc bare`` is without. ``frozen norm`` is their control: random filters, normalised by the statistics of 500 samples.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from results import collect

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.ir import Array, Network
from edgeff.layers import kind
from edgeff.networks import initialised, structure
from edgeff.networks._norms import with_norms
from edgeff.rules import find_rule
from edgeff.tasks import Data
from edgeff.train import accuracy, fit

NETWORK, SEEDS = "cnn_small", 3
EPOCHS: Mapping[str, dict[str, Any]] = {
    "mnist": {"epochs": 3, "decay": 0.2, "decay_epochs": (2,)},
    "cifar10": {"epochs": 10, "decay": 0.2, "decay_epochs": (7, 9)},
}
ADAM = {"optimiser": "adam", "batch": 64}
RULES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bp": ("bp", ADAM | {"lr": 0.002}),
    "bp norm": ("bp", ADAM | {"lr": 0.003}),
    "frozen": ("frozen", ADAM | {"lr": 0.003}),
    "frozen norm": ("frozen", ADAM | {"lr": 0.003}),
    "pepita": ("pepita", {"batch": 64, "lr": 0.001, "feedback_scale": 0.02}),
    "dfa": ("dfa", ADAM | {"lr": 0.001}),
    "cwc": ("cwc", ADAM | {"lr": 0.003}),
    "cwc bare": ("cwc", ADAM | {"lr": 0.003, "batch_norm": False}),
    "local_heads": ("local_heads", ADAM | {"lr": 0.002}),
    "block_ff": ("block_ff", ADAM | {"lr": 0.003, "goodness": "groups", "block": 2, "predict": "head", "head_rate": 1.0}),
    "ff": ("ff", {}),
    "scff": ("scff", {}),
}
"""Rates are the best of two to four on CIFAR-10, 3 to 6 epochs (bp .001, .002; bp norm .001, .003; frozen .001, .002, .003, .006, of which
the last two within a point; cwc .003, .01; local_heads .001, .002, .004; dfa .0003, .001), cwc's sharpness of 1, 3, 5, 10. pepita: the best
of ten pairs of rate and feedback_scale; Adam, or the default scale, leaves it at 13 to 17 %. Those of ff and scff are the rules' own.
"""


def scaled(data: Data) -> Data:
    """The data less the training part's mean, divided by its deviation; the metadata say which they were."""
    mean, deviation = float(data.x_train.mean(dtype=np.float64)), float(data.x_train.std(dtype=np.float64))
    parts = {name: (getattr(data, name) - np.float32(mean)) / np.float32(deviation) for name in ("x_train", "x_test")}
    scaling = {"mean": round(mean, 4), "deviation": round(deviation, 4)}
    return replace(data, **parts, metadata=dict(data.metadata) | {"scaling": scaling})


def calibrated(network: Network, x: Array) -> Network:
    """``network`` whose batch normalisation has the statistics of x: what frozen filters cannot learn."""
    values, layers = {"input": x}, []
    for layer in network:
        xs = tuple(values[name] for name in layer.inputs)
        values[layer.name], saved = kind(layer).forward_training(layer, layer.params, *xs)
        fitted = {"mean": saved[0], "variance": saved[1]} if layer.op == "batch_norm" else {}
        layers.append(replace(layer, params={**layer.params, **fitted}))
    return replace(network, layers=tuple(layers))


def learn(data: Data, task: str, name: str, seed: int, **changes: Any) -> dict[str, Any]:
    """The test and training accuracies in per cent, with the settings and the time."""
    rule = find_rule(RULES[name][0])
    settings = replace(rule.settings, **(RULES[name][1] | dict(EPOCHS[task]) | changes))
    network = initialised(structure(NETWORK, input_shape=data.input_shape, classes=len(data.classes)), seed)
    if name.endswith(" norm"):
        network = calibrated(with_norms(network), data.x_train[:500]) if name.startswith("frozen") else with_norms(network)
    started = time.perf_counter()
    trained = fit(rule.prepare(network, settings, seed), rule.name, data.x_train, data.targets(data.y_train), settings, seed)
    seconds = time.perf_counter() - started
    found = {part: round(100 * accuracy(trained.scores(x), y), 2) for part, x, y in parts(data)}
    if hasattr(rule, "layer_scores"):
        found["layers"] = {n: round(100 * accuracy(s, data.y_test), 2) for n, s, _ in rule.layer_scores(trained.run, data.x_test)}
    return found | {"seconds": round(seconds), "settings": asdict(settings), "scaling": data.metadata["scaling"]}


def parts(data: Data) -> list[tuple[str, Array, Array]]:
    return [("test", data.x_test, data.y_test), ("train", data.x_train[:5000], data.y_train[:5000])]


def measure(task: str, name: str, seed: int) -> dict[str, Any]:
    """One row, or why the rule refuses the network."""
    try:
        return learn(scaled(registry.tasks[task].load(seed)), task, name, seed)
    except Unsupported as error:
        return {"refused": str(error)}


def validate(task: str, name: str, *words: str) -> None:
    """Prints the accuracy on the last sixth of the training part."""
    data = registry.tasks[task].load(0)
    cut = len(data.x_train) * 5 // 6
    held = {"x_test": data.x_train[cut:], "y_test": data.y_train[cut:], "x_train": data.x_train[:cut], "y_train": data.y_train[:cut]}
    rule, given = find_rule(RULES[name][0]), dict(word.split("=") for word in words)
    changed = rule.settings.changed(given)
    print(task, name, *words, learn(scaled(replace(data, **held)), task, name, 0, **{key: getattr(changed, key) for key in given}))


if __name__ == "__main__":
    if "--validate" in sys.argv:
        validate(*sys.argv[sys.argv.index("--validate") + 1 :])
    else:
        keys = [(task, name, seed) for seed in range(SEEDS) for task in EPOCHS for name in RULES if RULES[name][0] in registry.rules]
        collect("conv_rules", keys, measure, SEEDS)
