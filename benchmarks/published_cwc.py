"""Channel-wise competitive Forward-Forward on MNIST beside its paper: all 60,000 images, a row a seed.

``EDGEFF_DATA_DIR=.. python benchmarks/published_cwc.py`` -> ``benchmarks/results/published_cwc.json``; rows already there are kept.
The paper's test error is .58 % (Papachristodoulou et al., AAAI 2024). The network here has three blocks of a 5x5 convolution, batch
normalisation, ReLU and 2x2 maximum, of 30, 60 and 120 channels, and a dense head; Adam, and images moved by up to a pixel. Settings
were chosen with 20, 40 and 80 channels on 2,000 of the last 10,000 training images, which the others never saw; the test images are read
once. A row with ``frozen`` in its key is the control: the same network, of whose filters only the normalisation has seen data.
``--validate EPOCHS [setting=value ..]`` prints the errors on those 10,000.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from before_0027 import settings_before
from held_out import held_out
from results import collect

from edgeff import registry
from edgeff.ir import Network
from edgeff.networks import initialised
from edgeff.networks._norms import calibrated, with_norms
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.rules import find_rule
from edgeff.tasks import Data, standardised
from edgeff.tasks._augment import shifted
from edgeff.train.loop import accuracy, fit

SEEDS, PAPER_ERROR = 3, 0.58
SETTINGS: dict[str, Any] = {"optimiser": "adam", "lr": 0.003, "batch": 64, "epochs": 20, "decay": 0.3, "decay_epochs": (12, 16, 18)}


def network() -> Network:
    """The structure: 18.2 M multiply-accumulates a sample."""
    stack = Stack((28, 28, 1))
    for number, channels in enumerate((30, 60, 120), 1):
        stack.conv(f"conv_{number}", channels, (5, 5))
        stack.max_pool(f"pool_{number}", (2, 2))
    stack.flatten()
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return stack.network("cwc_mnist")


def learn(data: Data, seed: int, **changes: Any) -> dict[str, Any]:
    """The errors in per cent on the test part, by the head and by the goodness up to each layer."""
    rule = find_rule("cwc")
    settings = replace(settings_before(rule.name), **(SETTINGS | changes))
    made = rule.prepare(initialised(network(), seed), settings, seed)
    started = time.perf_counter()

    def progress(epoch: int, epochs: int) -> None:
        print(f"seed {seed}, epoch {epoch} of {epochs}, {time.perf_counter() - started:.0f} s", flush=True)

    trained = fit(made, "cwc", data.x_train, data.targets(data.y_train), settings, seed, progress, partial(shifted, most=1))
    errors = {name: round(100 - 100 * accuracy(s, data.y_test), 2) for name, s, _ in rule.layer_scores(trained.run, data.x_test) or ()}
    return {
        "test_error": round(100 - 100 * accuracy(trained.scores(data.x_test), data.y_test), 2),
        "paper_error": PAPER_ERROR,
        "layers_error": errors,
        "seconds": round(time.perf_counter() - started),
        "settings": asdict(settings),
        "inputs": data.metadata["inputs"],
    }


def control(data: Data, seed: int) -> dict[str, Any]:
    """The error in per cent of the network whose head alone learns."""
    settings = replace(settings_before("frozen"), **SETTINGS)
    normalised = calibrated(with_norms(initialised(network(), seed)), data.x_train)
    trained = fit(normalised, "frozen", data.x_train, data.targets(data.y_train), settings, seed, augment=partial(shifted, most=1))
    return {"test_error": round(100 - 100 * accuracy(trained.scores(data.x_test), data.y_test), 2), "settings": asdict(settings)}


def measure(seed: int, rule: str = "cwc") -> dict[str, Any]:
    data = standardised(registry.tasks["mnist"].load(seed))
    return control(data, seed) if rule == "frozen" else learn(data, seed)


def validate(epochs: str, *words: str) -> None:
    """Prints the errors on the last 10,000 training images of one seed."""
    data = held_out(registry.tasks["mnist"].load(0))
    given = dict(word.split("=") for word in words)
    changed = replace(settings_before("cwc"), **SETTINGS).changed(given)
    print(learn(standardised(data), 0, **{"epochs": int(epochs)} | {key: getattr(changed, key) for key in given}))


if __name__ == "__main__":
    if "--validate" in sys.argv:
        validate(*sys.argv[sys.argv.index("--validate") + 1 :])
    else:
        collect("published_cwc", [*((seed,) for seed in range(SEEDS)), *((seed, "frozen") for seed in range(SEEDS))], measure, SEEDS)
