"""Self-contrastive Forward-Forward on the host beside its published figures and its control, a seed a row.

``EDGEFF_DATA_DIR=.. python benchmarks/published_scff.py [--only TEXT] [--seeds 3] [--validate] [--fresh]``: test accuracies in per cent ->
``benchmarks/results/published_scff.json``. Chen et al. (2025) publish 98.7 for the MLP of 2 x 2,000 on MNIST (20 epochs of layer 1, then 9
of layer 2, AdamW, batch 100, images moved by up to two pixels, a read-out of both layers, 50 epochs) and 80.75 for a CNN of 96, 384 and
1,536 channels on all of CIFAR-10; ``cnn_small`` (20, 40, 80 channels) and 10,000 images of CIFAR-10 stand here for what a small machine
trains. The control, ``frozen``, has the same network, the same initial hidden weights, which stay, and the same read-out, which always sees
images where they are. ``unmoved`` is SCFF as it was first tried here, without the moves.

Settings were chosen by ``--validate``: trained without the last sixth of the training images (10,000 of MNIST) and measured on it; nothing
is saved then. Those of the MLP with moves were chosen by its first layer alone, 4 epochs on the first 20,000 images. ``--only`` takes the
rows whose key holds the text.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from typing import Any

from before_0027 import settings_before
from held_out import held_out
from results import collect, load

from edgeff import registry
from edgeff.bench.rules import VARIANTS
from edgeff.networks import structure
from edgeff.tasks._augment import shifted
from edgeff.train.loop import accuracy, train

MLP = "784-2000-2000-10"
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("mnist", MLP): {
        "lr": 0.001,
        "epochs": 10,
        "decay_epochs": (6, 8),
        "batch": 100,
        "theta_positive": 4.0,
        "theta_negative": 4.0,
        "readout": "all",
        "readout_epochs": 20,
        "readout_lr": 1e-3,
        "dropout": 0.1,
    },
    ("mnist", "cnn_small"): {
        "lr": 0.001,
        "epochs": 5,
        "decay_epochs": (3, 4),
        "batch": 100,
        "theta_positive": 4.0,
        "theta_negative": 4.0,
        "readout_epochs": 20,
        "readout_lr": 1e-3,
    },
    ("cifar10", "cnn_small"): {
        "lr": 0.001,
        "epochs": 12,
        "decay_epochs": (6, 9),
        "batch": 100,
        "readout_epochs": 30,
        "readout_lr": 1e-3,
        "dropout": 0.2,
    },
}


UNMOVED = {"lr": 0.003, "epochs": 12, "decay_epochs": (6, 9), "theta_negative": 6.0}
MOST_PIXELS = 2
RULES = {MLP: ("scff", "frozen", "unmoved"), "cnn_small": ("scff", "frozen")}


def measure(task: str, name: str, rule: str, seed: int, *, validate: bool = False) -> dict[str, Any]:
    """The accuracy of one seed and its schedule; ``rule`` is scff, frozen or unmoved."""
    data = registry.tasks[task].load(seed)
    data = held_out(data) if validate else data
    settings = replace(settings_before("scff"), **SETTINGS[task, name])
    if rule == "frozen":
        settings = replace(settings, **VARIANTS["frozen+scff"][1])
    if rule == "unmoved":
        settings = replace(settings, **UNMOVED)
    augment = partial(shifted, most=MOST_PIXELS) if rule == "scff" and name == MLP else None
    network = structure(name, bias=True, input_shape=data.input_shape)
    started = time.perf_counter()

    def told(done: int, of: int) -> None:
        print(f"{task}, {name}, {rule}, seed {seed}: epoch {done} of {of}, {time.perf_counter() - started:.0f} s", flush=True)

    trained = train(data, network, "scff", settings, seed, told, augment=augment)
    found = {"images": len(data.x_train), "epochs": settings.epochs, "readout_epochs": settings.readout_epochs, "batch": settings.batch}
    right = round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2)
    return found | {"validation" if validate else "test": right, "train_s": round(time.perf_counter() - started)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    keys = [(*where, rule, seed) for where in SETTINGS for seed in range(arguments.seeds) for rule in RULES[where[1]]]
    wanted = [key for key in keys if arguments.only in " ".join(map(str, key))]
    if arguments.validate:
        for key in wanted:
            print(*key, measure(*key, validate=True), flush=True)
    else:
        there = [] if arguments.fresh else [tuple(row["key"]) for row in load("published_scff").get("rows", [])]
        collect("published_scff", [key for key in keys if key in wanted or key in there], measure, arguments.seeds)
