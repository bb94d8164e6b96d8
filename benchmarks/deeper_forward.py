"""DeeperForward beside Forward-Forward on a small convolutional network: pictures of CIFAR-10 at 16x16, the same budget for both.

``EDGEFF_DATA_DIR=.. python benchmarks/deeper_forward.py`` -> ``benchmarks/results/deeper_forward.json``, its choices in
``deeper_forward_chosen.json``; a row is a seed. Sun et al. (ICLR 2025): mean goodness and layer normalisation let Forward-Forward train
CNNs (CIFAR-10 86.2 with 17 layers, 79.5 with 4). Here ``cnn_small`` (20, 40 and 80 channels) on the first 4,000 training and 2,000 test
images of the subset, halved in width and height and standardised; Adam, mini-batches of 64, 6 epochs. Rates (and theta or sharpness) are
chosen once for each rule on the training part by one search of the same budget, by the head's accuracy on validation images. ``head``: the
network's head; ``own``: probing (FF), the sum of goodness (DeeperForward, CwC). Controls: filters frozen as drawn, and back-propagation.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from protocol import kept_choice, load, text
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.ir import Array, Network
from edgeff.networks import structure
from edgeff.rules import find_rule
from edgeff.tasks import Data, standardised
from edgeff.train.loop import Trained, accuracy, train

NETWORK, RULES = "cnn_small", ("frozen", "ff", "deeper_forward", "bp", "cwc")
OWN = {"ff": "probe", "deeper_forward": "goodness", "cwc": "goodness"}
SEEDS, SEARCH = 5, Search(epochs=6, candidates=9, splits=1)
TRAINED, TESTED = 4_000, 2_000


def halved(x: Array) -> Array:
    """Images of half the width and height, each pixel the mean of four."""
    count, height, width, channels = x.shape
    return x.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4)).astype(x.dtype)


@lru_cache(maxsize=1)
def images() -> Data:
    """The part of the task's pictures that is learned from and tested on."""
    data = load("cifar10", 0)
    part = replace(
        data,
        x_train=halved(data.x_train[:TRAINED]),
        y_train=data.y_train[:TRAINED],
        x_test=halved(data.x_test[:TESTED]),
        y_test=data.y_test[:TESTED],
    )
    return standardised(part)


def plain() -> Network:
    return structure(NETWORK, bias=True, input_shape=images().input_shape, classes=10)


def reached(trained: Trained, predict: str, data: Data) -> float:
    """The accuracy in per cent, predicting in one way."""
    run = trained.run
    if hasattr(run.settings, "predict"):
        run.settings = replace(run.settings, predict=predict)
    return round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2)


def measure(rule: str, seed: int) -> dict[str, Any]:
    """The test accuracies by the head and, where the rule has one, by its own goodness."""

    def make() -> Choice:
        return choose(images(), plain(), NETWORK, rule, SEARCH, registry.tasks["cifar10"])

    how = kept_choice((NETWORK, rule), SEARCH, make, "deeper_forward_chosen")
    settings = find_rule(rule).settings.changed({name: text(value) for name, value in how["settings"].items()})
    trained = train(images(), plain(), rule, settings, seed, task="cifar10", guarded=False)
    own = {"own": reached(trained, OWN[rule], images())} if rule in OWN else {}
    return {"accuracy": reached(trained, "head", images()), **own, "diverged": False, "chosen_by": how}


if __name__ == "__main__":
    collect("deeper_forward", [(rule, seed) for rule in RULES for seed in range(SEEDS)], measure, SEEDS)
