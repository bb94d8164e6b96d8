"""PhyLL with a black box of compiled C in each layer: a sensor behind an analogue network, read by an ADC, on digits.

``python benchmarks/black_box.py`` -> ``benchmarks/results/black_box.json``, its choices in ``black_box_chosen.json``; a row is a seed.
Momeni et al. (2023) train layers around physical systems that are only run forwards. The system here is ``black_box.c``: a random network
of conductances, a diode that saturates, an amplifier that remembers, and an ADC of 8 or of 3 bits, so that its derivative is 0 nearly
everywhere. Python sees a function of a shared library. 64-32-10, 6 epochs of mini-batches of 64; the settings of ``phyll`` (with 8 bits)
and of ``bp`` come from one search of the same budget each on a seed's training part. Controls: ``as drawn``, the same boxes, the linear
layers as drawn (rate 0) and a head fitted in the same way; ``bp``, without boxes; ``shuffled``, labels of other samples in training.
"""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from protocol import kept_choice, load, plain, text
from results import collect

from edgeff import registry
from edgeff.bench.tuning import Choice, Search, choose
from edgeff.ir import Array
from edgeff.rules import find_rule
from edgeff.train.loop import accuracy, train

NETWORK, SEEDS, SEARCH = "64-32-10", 5, Search(epochs=6, candidates=9, splits=1)
SOURCE = Path(__file__).with_name("black_box.c")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "phyll, 8 bits": ("phyll", {"map": "black_box:bits_8", "predict": "probe", "batch": 64}),
    "phyll, 3 bits": ("phyll", {"map": "black_box:bits_3", "predict": "probe", "batch": 64}),
    "as drawn, 8 bits": ("phyll", {"map": "black_box:bits_8", "predict": "head", "lr": 0.0}),
    "as drawn, 3 bits": ("phyll", {"map": "black_box:bits_3", "predict": "head", "lr": 0.0}),
    "shuffled, 8 bits": ("phyll", {"map": "black_box:bits_8", "predict": "probe", "batch": 64}),
    "bp": ("bp", {}),
}


@lru_cache
def system() -> Callable[..., None]:
    """The function of the shared library, built once for each state of its source."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"edgeff-black-box-{digest}.so"
    if not library.exists():
        made = library.with_suffix(f".{id(library)}.so")
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-std=c99",
            "-O2",
            "-ffp-contract=off",
            "-shared",
            "-fPIC",
            str(SOURCE),
            "-o",
            str(made),
            "-lm",
        ]
        subprocess.run(command, check=True)
        made.replace(library)
    function = ctypes.CDLL(str(library)).black_box
    function.restype = None
    function.argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int32] * 4, ctypes.c_uint32]
    return function


def run_box(x: Array, outputs: int, seed: int, bits: int) -> Array:
    """What the box gives for x (B, n): (B, outputs) in 0 .. 1, in steps of the ADC."""
    rows, inputs = x.shape
    given, y = np.ascontiguousarray(x, np.float32), np.empty((rows, outputs), np.float32)
    weights = np.empty((inputs, outputs), np.float32)
    system()(y.ctypes.data, weights.ctypes.data, given.ctypes.data, rows, inputs, outputs, bits, seed)
    return y


def bits_8(x: Array, outputs: int, seed: int) -> Array:
    """The box with an ADC of 8 bits, as ``edgeff.ops.physical`` calls a map."""
    return run_box(x, outputs, seed, 8)


def bits_3(x: Array, outputs: int, seed: int) -> Array:
    """The box with an ADC of 3 bits."""
    return run_box(x, outputs, seed, 3)


def measure(way: str, seed: int) -> dict[str, Any]:
    """The test accuracy in per cent."""
    name, fixed = WAYS[way]
    data, network, search = load("digits", seed), plain("digits", NETWORK, seed), replace(SEARCH, seed=seed)
    rule = find_rule(name)
    how: dict[str, Any] = {"by": "nothing to choose: nothing but the head learns"}
    if "as drawn" in way:
        settings = replace(rule.settings, **fixed, epochs=1)
    else:
        if "shuffled" in way:
            data = replace(data, y_train=np.random.default_rng([seed, 16]).permutation(data.y_train))

        def make() -> Choice:
            return choose(load("digits", seed), network, NETWORK, name, search, registry.tasks["digits"], fixed=fixed)

        how = kept_choice((name,), search, make, "black_box_chosen")
        settings = rule.settings.changed({key: text(value) for key, value in {**how["settings"], **fixed}.items()})
    trained = train(data, network, name, settings, seed, guarded=False)
    return {"accuracy": round(100 * accuracy(trained.scores(data.x_test), data.y_test), 2), "chosen_by": how}


if __name__ == "__main__":
    collect("black_box", [(way, seed) for seed in range(SEEDS) for way in WAYS], measure, SEEDS)
