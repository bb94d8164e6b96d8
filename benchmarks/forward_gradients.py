"""Forward gradients on digits, 64-32-10, float32: accuracy against the count of directions, three seeds, beside BP and the frozen control.

20 epochs of mini-batches of 16. Learning rates were chosen on the last sixth of the training part: what a mean of k directions bears grows
with k, what a projection bears hardly. The test set is read once a run. A row is one seed.

``python benchmarks/forward_gradients.py`` -> ``benchmarks/results/forward_gradients.json``; about three minutes of one core.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from before_0027 import settings_before
from results import collect

from edgeff import registry
from edgeff.networks import structure
from edgeff.train.loop import accuracy, train

SEEDS = 3
DIRECTIONS = {"activities": (1, 4, 16), "weights": (1, 4, 16, 64)}
RATE_A_DIRECTION = {
    ("activities", "mean"): 0.005,
    ("activities", "orthogonal"): 0.03,
    ("weights", "mean"): 0.0002,
    ("weights", "orthogonal"): 0.4,
}
MOST = {("activities", "mean"): 0.05, ("activities", "orthogonal"): 0.08, ("weights", "mean"): 0.05, ("weights", "orthogonal"): 0.4}
"""Of k times the rate a direction."""
EPOCHS: dict[str, Any] = {"epochs": 20, "decay_epochs": (14, 18)}


def measure(rule: str, perturb: str, projection: str, tangents: int, seed: int) -> dict[str, Any]:
    """The learning rate, and the test accuracy in per cent."""
    settings = replace(settings_before(rule), **EPOCHS)
    if perturb:
        rate = min(tangents * RATE_A_DIRECTION[perturb, projection], MOST[perturb, projection])
        settings = replace(settings, lr=rate, perturb=perturb, projection=projection, tangents=tangents)
    data = registry.tasks["digits"].load(seed)
    trained = train(data, structure("64-32-10"), rule, settings, seed)
    return {"lr": settings.lr, "test": round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2)}


if __name__ == "__main__":
    keys = [(rule, "", "", 0) for rule in ("bp", "frozen")]
    keys += [
        ("forward_gradient", perturb, projection, k)
        for perturb, counts in DIRECTIONS.items()
        for projection in ("mean", "orthogonal")
        for k in counts
    ]
    collect("forward_gradients", [(*key, seed) for key in keys for seed in range(SEEDS)], measure, SEEDS)
