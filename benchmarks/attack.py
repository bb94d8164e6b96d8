"""Back-propagation beside PEPITA under FGSM and PGD at equal natural accuracy: MNIST, 784-1024-10, a part of the training data.

``EDGEFF_DATA_DIR=.. python benchmarks/attack.py [--seeds 3] [--fresh]`` -> ``benchmarks/results/attack.json``. A row is a seed; those that
are there already are kept. Each draws its own 12,000 training images: 10,000 to learn from and 2,000 that say when to stop. PEPITA learns
first. ``bp, stopped`` is back-propagation at the first look, every 10 batches, at which it is no worse on the 2,000 than PEPITA; ``bp``
goes on for all its epochs; ``frozen`` is the control, whose hidden layer stays random. The 1,000 test images are looked at once, by the
attack.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from before_0027 import settings_before
from results import collect
from threadpoolctl import threadpool_limits

from edgeff import registry
from edgeff.ir import Array, Network
from edgeff.networks import initialised, structure
from edgeff.ops import with_parameters
from edgeff.studies.attack import Attacked, Settings, sweep, transfer
from edgeff.train.loop import accuracy, fit, start
from edgeff.train.optimisers import OPTIMISERS

NETWORK, TRAINED, KEPT, TESTED, LOOK = "784-1024-10", 10_000, 2_000, 1_000, 10
EPSILONS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)
CARRIED, SOURCES = (0.05, 0.1), ("pepita", "bp, stopped")
CHANGES: dict[str, dict[str, Any]] = {
    "pepita": {"epochs": 40, "decay_epochs": (25, 35)},
    "bp": {"lr": 0.1, "batch": 64, "epochs": 20, "decay_epochs": ()},
    "frozen": {"epochs": 40, "decay_epochs": (25, 35)},
}


def settings(rule: str) -> Any:
    return replace(settings_before(rule), **CHANGES[rule])


def stopped(
    network: Network, x: Array, targets: Array, x_kept: Array, y_kept: Array, wanted: float, seed: int
) -> tuple[Network, float, int]:
    """Back-propagation at the first look at which its accuracy on the kept part is ``wanted``, that accuracy, and the steps it took."""
    rule, chosen = registry.rules["bp"], settings("bp")
    run = start(network, rule, chosen, seed)
    optimiser = OPTIMISERS[chosen.optimiser](run)
    with threadpool_limits(1, "blas"):
        for epoch in range(chosen.epochs):
            order = run.rng.permutation(len(x))
            for first in range(0, len(order), chosen.batch):
                index = order[first : first + chosen.batch]
                optimiser.apply(rule.step(run, x[index], targets[index]), chosen.rate(epoch))
                if optimiser.steps % LOOK == 0 and (found := accuracy(rule.scores(run, x_kept), y_kept)) >= wanted:
                    return with_parameters(network, run.params), found, optimiser.steps
    raise ValueError(f"back-propagation did not reach {wanted}")


def row(seed: int) -> dict[str, Any]:
    """The four networks of a seed, each with its sweep, and the examples carried between them."""
    data = registry.tasks["mnist"].load(seed)
    rng = np.random.default_rng([seed, 7])
    chosen, tested = rng.permutation(len(data.x_train))[: TRAINED + KEPT], np.sort(rng.permutation(len(data.x_test))[:TESTED])
    x, y = data.x_train[chosen[:TRAINED]], data.y_train[chosen[:TRAINED]]
    x_kept, y_kept = data.x_train[chosen[TRAINED:]], data.y_train[chosen[TRAINED:]]
    x_test, y_test = data.x_test[tested], data.y_test[tested]
    plain = initialised(structure(NETWORK, input_shape=data.input_shape), seed)
    networks, validation = {}, {}
    for rule in ("pepita", "bp", "frozen"):
        trained = fit(plain, rule, x, data.targets(y), settings(rule), seed)
        networks[rule], validation[rule] = trained.network, accuracy(trained.scores(x_kept), y_kept)
    name = "bp, stopped"
    networks[name], validation[name], steps = stopped(plain, x, data.targets(y), x_kept, y_kept, validation["pepita"], seed)
    attack = Settings(epsilons=EPSILONS, seed=seed)
    attacked = {name: Attacked(network) for name, network in networks.items()}
    models = {
        name: {"validation": validation[name]} | asdict(sweep(victim, x_test, y_test, (0.0, 1.0), attack))
        for name, victim in attacked.items()
    }
    carried = {
        f"{eps:g}": {
            source: {
                name: dict(zip(("fgsm", "pgd"), shares, strict=True))
                for name, shares in transfer(attacked[source], attacked, x_test, y_test, eps, (0.0, 1.0), attack).items()
            }
            for source in SOURCES
        }
        for eps in CARRIED
    }
    return {"network": NETWORK, "settings": CHANGES, "bp_stopped_steps": steps, "models": models, "transfer": carried}


def show(rows: list[dict[str, Any]]) -> None:
    """Means and standard deviations over the seeds, in per cent."""

    def text(values: list[float]) -> str:
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{100 * statistics.fmean(values):5.1f} +- {100 * spread:3.1f}"

    for name in rows[0]["models"]:
        models = [found["models"][name] for found in rows]
        natural = text([model["natural"] for model in models])
        differs = text([model["float32"]["sign"] for model in models])
        print(f"{name}: unmoved {natural}, float32 sign differs {differs} of samples")
        for index, eps in enumerate(EPSILONS):
            shown = [
                f"{what} {text([model['points'][index][what] for model in models])}"
                for what in ("fgsm", "pgd", "fgsm_float64", "fgsm_float32", "noise")
            ]
            print(f"  {eps:<6g}{'  '.join(shown)}")
    for eps, sources in rows[0]["transfer"].items():
        for source, victims in sources.items():
            shown = [f"{name} {text([found['transfer'][eps][source][name]['pgd'] for found in rows])}" for name in victims]
            print(f"PGD {eps} made on {source}: {'  '.join(shown)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    show(collect("attack", [(seed,) for seed in range(arguments.seeds)], row, arguments.seeds))
