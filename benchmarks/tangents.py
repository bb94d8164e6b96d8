"""Multi-tangent forward gradients through convolutions: accuracy against the count of directions, their mean and the orthogonal projection.

``python benchmarks/tangents.py`` -> ``benchmarks/results/tangents.json``, its choices in ``tangents_chosen.json``; a row is a seed. Flugel
et al. (2024): more directions come closer to the gradient, and the projection onto their span uses them better than their mean. Digits of
8x8 (split 0), two 3x3 convolutions of 4 and 8 channels with stride 2 and a dense head, 666 parameters, which all move at once
(``perturb=weights``); mini-batches of 40, 40 epochs. The rate of each way is chosen once on the training part, by one search of the same
budget, so the seeds are those of weights and directions. Controls: back-propagation on the same network, and its filters frozen as drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol import kept_choice, load, text
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.errors import Diverged
from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.rules import find_rule
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, train

NAME, SEEDS, BATCH = "8x8x1-c4-c8-10", 5, 40
SEARCH = Search(epochs=40, candidates=9, splits=1)
COUNTS = (1, 4, 16, 64)
PROJECTIONS = ("mean", "orthogonal")


def data() -> Data:
    """Split 0 of the digits as images."""
    flat = load("digits", 0)
    return replace(flat, x_train=flat.x_train.reshape(-1, 8, 8, 1), x_test=flat.x_test.reshape(-1, 8, 8, 1))


def network() -> Network:
    """The structure, with biases."""
    stack = Stack((8, 8, 1))
    stack.conv("conv_1", 4, (3, 3), (2, 2), norm=False)
    stack.conv("conv_2", 8, (3, 3), (2, 2), norm=False)
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return stack.network(NAME)


def measure(rule: str, projection: str, count: int, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent with the chosen rate, None for a run that diverged."""
    fixed: dict[str, Any] = {"batch": BATCH}
    if projection:
        fixed |= {"perturb": "weights", "projection": projection, "tangents": count}
    images, plain = data(), network()

    def make() -> Choice:
        return choose(images, plain, NAME, rule, SEARCH, registry.tasks["digits"], fixed=fixed)

    how = kept_choice((NAME, rule, projection, count), SEARCH, make, "tangents_chosen")
    settings = find_rule(rule).settings.changed({name: text(value) for name, value in how["settings"].items()})
    try:
        trained = train(images, plain, rule, settings, seed, guarded=False)
    except Diverged as error:
        return {"accuracy": None, "diverged": True, "why": str(error), "chosen_by": how}
    reached = round(100 * accuracy(trained.scores(images.x_test), images.y_test), 2)
    return {"accuracy": reached, "diverged": False, "chosen_by": how}


if __name__ == "__main__":
    keys = [(rule, "", 0) for rule in ("frozen", "bp")]
    keys += [("forward_gradient", projection, count) for count in COUNTS for projection in PROJECTIONS]
    collect("tangents", [(*key, seed) for key in keys for seed in range(SEEDS)], measure, SEEDS)
