"""Random networks in every execution: NumPy twins, the C of this machine, TFLM on the TFLite file, and the C on an emulated Cortex-M0+.

Seeded networks of up to seven layers over vectors, sequences and images, with branches, half of them int8 with weights and zero points
drawn too, a third of them with several inputs or outputs. Twins and C must be equal to the bit, and the emulated core on every
EMULATED-th network. So must TFLM where the network is int8; in float it is within the tolerance of its sums. A network that a format
cannot hold is counted as such. ``python benchmarks/drawn_networks.py`` -> ``benchmarks/results/drawn_networks.json``; status 1 where
anything differs.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from results import collect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from image_networks import as_int8
from random_networks import random_network

from edgeff.device.targets.host import HostTarget
from edgeff.errors import EdgeffError, Unsupported
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network
from edgeff.ops import by_input, make, sample_shape
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify import verify
from edgeff.verify.engines import Process, Tflm
from edgeff.verify.explain import float_tolerance

NETWORKS, PART, SAMPLES, EMULATED, BOARD = 2_000, 20, 4, 20, "rpi_pico"


def drawn(seed: int) -> Network:
    """The network of a seed: every second one int8, every third with an input or an output more."""
    network = random_network(seed)
    last = network.layers[-1]
    if seed % 6 == 0:
        further = Layer("second", make("input", {}), (), last.shape)
        network = replace(network, layers=(further, *network.layers, Layer("both", make("add", {}), (last.name, "second"), last.shape)))
    elif seed % 6 == 3 and len(network.layers) > 1:
        network = replace(network, outputs=(network.layers[-2].name, last.name) if network.layers[-2].inputs else ())
    return as_int8(network, seed) if seed % 2 else network


def samples(network: Network, seed: int) -> Array:
    """Inputs (SAMPLES, *shape) float32: the ends of the range in the first two."""
    x = np.random.default_rng(seed).normal(size=(SAMPLES, *sample_shape(network))).astype(np.float32)
    x[:2] *= np.float32(50)
    return x


def measure(first: int, end: int) -> dict[str, Any]:
    """What became of the networks ``first`` to ``end`` - 1."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    process = Process("tflm")
    for seed in range(first, end):
        try:
            network = drawn(seed)
            deployment = deploy(network, target="input")
        except EdgeffError as error:
            outcomes["refused"] += 1
            failures += [] if isinstance(error, Unsupported) else [f"{seed}: {error}"]
            continue
        x = samples(network, seed)
        given, twin = deployment.inputs(x), Interpreter(deployment.program)
        rows = []
        for sample in given:
            twin.predict(sample)
            rows.append(twin.output().reshape(-1))
        made = np.array(rows)
        theirs = HostTarget(deployment.program).predict_many(given)[1].reshape(made.shape)
        outcomes["C"] += 1
        failures += [f"{seed}: {int((theirs != made).sum())} outputs of the C differ"] * (theirs.tobytes() != made.tobytes())
        outcome, failure = in_tflm(network, given, x, made, process)
        outcomes[outcome] += 1
        failures += [f"{seed}: {failure}"] * bool(failure)
        if seed % EMULATED == 1:
            report = verify(network, x, board=BOARD, emulated=1)
            outcomes["emulated core"] += 1
            failures += [f"{seed}: {row.b} differs, {row.what}" for row in report if not row.ok]
    return {"networks": end - first, "outcomes": dict(sorted(outcomes.items())), "failures": failures}


def in_tflm(network: Network, given: Array, x: Array, made: Array, process: Process) -> tuple[str, str]:
    """What TFLM makes of the network's file, and what is wrong with it, "" if nothing."""
    try:
        parts = list(by_input(network, given.reshape(len(x), *sample_shape(network))).values())
        run = Tflm(to_tflite(network), process, outputs=len(network.ends))
        theirs = run(parts if len(parts) > 1 else parts[0], lambda: None).reshape(made.shape)
    except Unsupported:
        return "not in TFLM", ""
    if made.dtype == np.int8:
        differing = int((theirs != made).sum())
        return "TFLM int8", f"{differing} outputs differ from TFLM's" if differing else ""
    away, allowed = float(np.abs(theirs - made).max()), float_tolerance(network, x)
    return "TFLM float32", f"{away:.3g} from TFLM, {allowed:.3g} allowed" if away > allowed else ""


if __name__ == "__main__":
    rows = collect("drawn_networks", [(first, first + PART) for first in range(0, NETWORKS, PART)], measure, seeds=NETWORKS)
    failures = [failure for row in rows for failure in row["failures"]]
    print(f"{sum(row['networks'] for row in rows):,} networks", *failures, sep="\n")
    sys.exit(int(bool(failures)))
