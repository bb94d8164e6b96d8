"""The learning step as a graph beside the C of the host: equal state, accuracy, processor time of a step, size.

Fresh weights learn the training samples of digits once, in the C, in unmodified ONNX Runtime and in unmodified LiteRT, each of which goes
on from its own state. Integers: every element of the state after the last step, and so the accuracy, is equal. Times are processor time on
one thread. ``python benchmarks/training_graphs.py [STEPS [NETWORK [RULE ..]]]`` -> a table on stdout.
"""

from __future__ import annotations

import sys
import tempfile
import time
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.errors import Unsupported
from edgeff.formats.files import write_file
from edgeff.formats.onnx.training import infer_path, training_graphs, write_model
from edgeff.formats.tflite.training import training_file
from edgeff.graphs import Learner
from edgeff.ir import Array, Network
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy

TESTED = 360


NETWORKS = ("64-32-10", "cnn_small")


class Run(NamedTuple):
    """What one execution came to: processor time of a step, share of test samples, elements of the state that differ from the C's."""

    step_us: float
    accuracy: float
    differing: int


def network_of(name: str) -> Network:
    """A network with fresh weights for digits."""
    dense = name[0].isdigit()
    return initialised(structure(name, bias=True) if dense else structure(name, input_shape=(8, 8, 1), classes=10), 0)


def learned(path: Path, host: HostTarget, samples: Array, labels: Array, tested: Array, expected: Array) -> Run:
    """The samples learned by the file ``path`` in its runtime."""
    learner = Learner(path)
    started = time.process_time()
    for sample, label in zip(samples, labels, strict=True):
        learner.learn(sample, int(label))
    step_us = (time.process_time() - started) / len(samples) * 1e6
    differing = sum(int((host.tensor(key) != value).sum()) for key, value in learner.state.items())
    predicted = np.array([learner.predict(sample) for sample in tested])
    return Run(step_us, float((predicted == expected).mean()), differing)


def row(name: str, network: Network, rule: str, numeric: Any, steps: int) -> str:
    """One line of the table; '' where the rule does not run on a device with this network."""
    data = registry.tasks["digits"].load(0)
    x = data.x_train.reshape(-1, *network.input_shape)[:steps]
    try:
        deployment = deploy(network, x, rule=rule, numeric=numeric)
    except Unsupported:
        return ""
    program, labels, expected = deployment.program, data.y_train[:steps], data.y_test[:TESTED]
    samples, tested = deployment.inputs(x), deployment.inputs(data.x_test[:TESTED].reshape(-1, *network.input_shape))
    host = HostTarget(program)
    started = time.process_time()
    host.learn_many(samples, labels)
    c_us = (time.process_time() - started) / steps * 1e6
    graphs = training_graphs(program, deployment.settings)
    with tempfile.TemporaryDirectory() as folder:
        onnx = write_model(graphs.learn, Path(folder) / "t.onnx")
        write_model(graphs.infer, infer_path(onnx))
        tflite = write_file(Path(folder) / "t.tflite", training_file(program, deployment.settings))
        runs = [learned(path, host, samples, labels, tested, expected) for path in (onnx, tflite)]
        sizes = [onnx.stat().st_size, tflite.stat().st_size]
    elements = sum(prod(tensor.shape) for tensor in program.persistent)
    share = float((host.predict_many(tested)[0] == expected).mean())
    states = [f"{run.differing:,} of {elements:,}" if numeric != "float32" else "-" for run in runs]
    shares = [f"{100 * value:.2f} %" for value in (share, *(run.accuracy for run in runs))]
    times = [f"{value:,.0f}" for value in (c_us, *(run.step_us for run in runs))]
    return f"| {' | '.join([name, rule, numeric, *states, *shares, *times, *(f'{size / 1000:,.1f}' for size in sizes)])} |"


def main() -> None:
    """Prints the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1437
    three = ("C", "ONNX", "LiteRT")
    figures = [f"state differing, {name}" for name in three[1:]] + [f"accuracy, {name}" for name in three]
    figures += [f"{name}, us" for name in three] + [f"{name}, kB" for name in three[1:]]
    print(f"| network | rule | numeric | {' | '.join(figures)} |")
    print("|---|---|---|" + "---:|" * len(figures))
    for name in sys.argv[2:3] or NETWORKS:
        for rule in sys.argv[3:] or registry.rules:
            for numeric in registry.rules[rule].numerics:
                if line := row(name, network_of(name), rule, numeric, steps if name == "64-32-10" else steps // 4):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
