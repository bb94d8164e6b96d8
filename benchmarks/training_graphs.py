"""The learning step as a graph beside the C of the host: equal state at every step, accuracy, processor time of a step, size.

Fresh weights learn training samples of digits once, in the C, in unmodified ONNX Runtime and in unmodified LiteRT, each of which goes on
from its own state. Integers: every element of the state after the last step, and so the accuracy, is equal. Then each step of both runtimes
from the twin's state before it: integers may not differ, float32 by 1e-6 of the largest value of a tensor. Times are processor time on one
thread. ``python benchmarks/training_graphs.py [NETWORK [RULE]]`` -> ``benchmarks/results/training_graphs.json``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from results import collect

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
from edgeff.verify.training_graph import GRAPHS, compare_training_graph

TESTED = 360
LEARNED, COMPARED = 1437, 1000
"""The steps that are learned, all training samples once, and those that are compared one by one."""
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


def measure(name: str, rule: str, numeric: Any) -> dict[str, Any]:
    """One row; ``refused`` where the rule does not run on a device with this network."""
    data, network = registry.tasks["digits"].load(0), network_of(name)
    x = data.x_train.reshape(-1, *network.input_shape)[:LEARNED]
    try:
        deployment = deploy(network, x, rule=rule, numeric=numeric)
    except Unsupported as error:
        return {"refused": str(error)}
    program, labels, expected = deployment.program, data.y_train[:LEARNED], data.y_test[:TESTED]
    samples, tested = deployment.inputs(x), deployment.inputs(data.x_test[:TESTED].reshape(-1, *network.input_shape))
    host = HostTarget(program)
    started = time.process_time()
    host.learn_many(samples, labels)
    c_us = (time.process_time() - started) / LEARNED * 1e6
    share = float((host.predict_many(tested)[0] == expected).mean())
    row: dict[str, Any] = {"steps": LEARNED, "state": sum(prod(tensor.shape) for tensor in program.persistent)}
    row["c"] = {"accuracy": round(100 * share, 2), "step_us": round(c_us, 1)}
    graphs = training_graphs(program, deployment.settings)
    with tempfile.TemporaryDirectory() as folder:
        onnx = write_model(graphs.learn, Path(folder) / "t.onnx")
        write_model(graphs.infer, infer_path(onnx))
        tflite = write_file(Path(folder) / "t.tflite", training_file(program, deployment.settings))
        for runtime, path in zip(GRAPHS, (onnx, tflite), strict=True):
            run = learned(path, host, samples, labels, tested, expected)
            rows = compare_training_graph(deployment, runtime, samples[:COMPARED], labels[:COMPARED])
            state = next(each for each in rows if each.what.startswith("state after each"))
            row[runtime.partition(",")[0]] = {
                "accuracy": round(100 * run.accuracy, 2),
                "step_us": round(run.step_us, 1),
                "bytes": path.stat().st_size,
                "differing_after_all": run.differing if numeric != "float32" else None,
                "steps_compared": COMPARED,
                "differing": state.differing,
                "largest_difference": state.max_difference,
            }
    return row


def main() -> None:
    keys = [(name, rule, numeric) for name in NETWORKS for rule in registry.rules for numeric in registry.rules[rule].numerics]
    chosen = tuple(argument for argument in sys.argv[1:] if not argument.startswith("-"))
    keys = [key for key in keys if (key[0] == "64-32-10" or key[2] != "int16") and key[: len(chosen)] == chosen]
    collect("training_graphs", keys, measure)


if __name__ == "__main__":
    main()
