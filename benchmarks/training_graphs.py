"""The learning step as a graph beside the C of the host: equal state at every step, accuracy, processor time of a step, size.

Fresh weights learn training samples of digits once, in the C, in unmodified ONNX Runtime, LiteRT and TFLM, each of which goes on from its
own state. Integers: every element of the state after the last step, and so the accuracy, is equal. Then each step of the runtimes from the
twin's state before it: integers may not differ, float32 by 1e-6 of the largest value of a tensor. Times are processor time on one thread.
What cannot be said as a graph has its reason in the row.
``python benchmarks/training_graphs.py [NETWORK [RULE]]`` -> ``benchmarks/results/training_graphs.json``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
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
from edgeff.formats.training import LABEL, NEXT, SCORES
from edgeff.graphs import Learner
from edgeff.ir import Array, Network
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify.native import load_tflm_step
from edgeff.verify.training_graph import GRAPHS, compare_training_graph, in_tflm

TESTED = 360
LEARNED, COMPARED = 1437, 1000
"""The steps that are learned, all training samples once, and those that are compared one by one."""
NETWORKS = ("64-32-10", "cnn_small")


GENTLE = {"pepita": 1e-4, "mempepita": 1e-4, "forward_gradient": 1e-5, "fa": 2e-3, "tdca": 2e-3}
"""Rates for float32 convolutions from fresh weights. By their own, the first three diverge, to NaN in the C as in every graph, and
a step of the others changes more than the weights."""
WITNESSED = ("bp", "dfa", "pepita")
"""The rules that run in TFLM through convolutions: 18 ms a step."""


class Running(NamedTuple):
    """A learning graph in a runtime, its file's size, and its state by name."""

    learn: Callable[[Array, int], object]
    predict: Callable[[Array], int]
    state: Callable[[], Mapping[str, Array]]
    size_bytes: int


def network_of(name: str) -> Network:
    """A network with fresh weights for digits."""
    dense = name[0].isdigit()
    return initialised(structure(name, bias=True) if dense else structure(name, input_shape=(8, 8, 1), classes=10), 0)


def by_learner(path: Path) -> Running:
    """The file in ONNX Runtime or LiteRT, as ``edgeff.graphs`` runs it."""
    learner = Learner(path)
    return Running(learner.learn, learner.predict, lambda: learner.state, path.stat().st_size)


def onnx_file(deployment: Deployment, folder: Path) -> Running:
    graphs = training_graphs(deployment.program, deployment.settings)
    write_model(graphs.infer, infer_path(folder / "t.onnx"))
    return by_learner(write_model(graphs.learn, folder / "t.onnx"))


def tflite_file(deployment: Deployment, folder: Path) -> Running:
    return by_learner(write_file(folder / "t.tflite", training_file(deployment.program, deployment.settings)))


def tflm_file(deployment: Deployment, _folder: Path) -> Running:
    """The step alone, in this process; it predicts by the scores of the network before a step, whose state is dropped."""
    sizes: list[int] = []

    def load(content: bytes, inputs: list[str], outputs: list[str]) -> Callable[[Mapping[str, Array]], Mapping[str, Array]]:
        sizes.append(len(content))
        run = load_tflm_step(content, inputs, outputs)
        return lambda given: run(given, lambda: None)

    program, graph, twin = deployment.program, in_tflm(deployment, load), Interpreter(deployment.program)
    source, state = program.tensors[program.input], {tensor.name: twin.tensor(tensor.name) for tensor in program.persistent}

    def step(x: Array, label: int) -> Mapping[str, Array]:
        return graph.learn({source.name: x.reshape(1, *source.shape), LABEL: np.array([label], np.int32)} | state)

    def learn(x: Array, label: int) -> None:
        outputs = step(x, label)
        state.update({name: outputs[name + NEXT] for name in state})

    return Running(learn, lambda x: int(step(x, 0)[SCORES].argmax()), lambda: state, sizes[0])


RUNTIMES: Mapping[str, Callable[[Deployment, Path], Running]] = {"ONNX Runtime": onnx_file, "LiteRT": tflite_file, "TFLM": tflm_file}


def measure(name: str, rule: str, numeric: Any) -> dict[str, Any]:
    """One row; ``refused`` where the rule does not run on a device with this network, or in a runtime."""
    data, network = registry.tasks["digits"].load(0), network_of(name)
    x = data.x_train.reshape(-1, *network.input_shape)[:LEARNED]
    convolutional = len(network.input_shape) > 1
    changes: dict[str, Any] = {"goodness": "groups"} if convolutional and rule == "block_ff" else {}  # labels are for dense networks
    if convolutional and rule in GENTLE and numeric == "float32":
        changes["lr"] = GENTLE[rule]
    try:
        deployment = deploy(network, x, rule=rule, numeric=numeric, changes=changes)
    except Unsupported as error:
        return {"refused": str(error)}
    program, labels, expected = deployment.program, data.y_train[:LEARNED], data.y_test[:TESTED]
    samples, tested = deployment.inputs(x), deployment.inputs(data.x_test[:TESTED].reshape(-1, *network.input_shape))
    host = HostTarget(program)
    started = time.process_time()
    host.learn_many(samples, labels)
    c_us = (time.process_time() - started) / LEARNED * 1e6
    share = float((host.predict_many(tested)[0] == expected).mean())
    row: dict[str, Any] = {"steps": LEARNED, "state": sum(prod(tensor.shape) for tensor in program.persistent), "changes": changes}
    row["c"] = {"accuracy": round(100 * share, 2), "step_us": round(c_us, 1)}
    for (runtime, make), graph in zip(RUNTIMES.items(), GRAPHS, strict=True):
        if runtime == "TFLM" and convolutional and rule not in WITNESSED:
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                running = make(deployment, Path(folder))
                row[runtime] = learned(running, samples, labels) | {"accuracy": accuracy(running, tested, expected)}
        except Unsupported as error:
            row[runtime] = {"refused": str(error)}
            continue
        differing = sum(int((host.tensor(key) != value).sum()) for key, value in running.state().items())
        rows = compare_training_graph(deployment, graph, samples[:COMPARED], labels[:COMPARED])
        state = next(each for each in rows if each.what.startswith("state after each"))
        row[runtime] |= {
            "differing_after_all": differing if numeric != "float32" else None,
            "steps_compared": COMPARED,
            "differing": state.differing,
            "largest_difference": state.max_difference,
        }
    return row


def learned(running: Running, samples: Array, labels: Array) -> dict[str, Any]:
    """The processor time of a step over all samples, each once, and the file's size."""
    started = time.process_time()
    for sample, label in zip(samples, labels, strict=True):
        running.learn(sample, int(label))
    return {"step_us": round((time.process_time() - started) / len(samples) * 1e6, 1), "bytes": running.size_bytes}


def accuracy(running: Running, tested: Array, expected: Array) -> float | None:
    """The share of the test samples that are predicted, in per cent; None where the graph gives no scores."""
    try:
        return round(100 * float(np.mean([running.predict(sample) for sample in tested] == expected)), 2)
    except KeyError:  # a step that computes no scores, alone in its file
        return None


def main() -> None:
    keys = [(name, rule, numeric) for name in NETWORKS for rule in registry.rules for numeric in registry.rules[rule].numerics]
    chosen = tuple(argument for argument in sys.argv[1:] if not argument.startswith("-"))
    keys = [key for key in keys if (key[0] == "64-32-10" or key[2] != "int16") and key[: len(chosen)] == chosen]
    collect("training_graphs", keys, measure)


if __name__ == "__main__":
    main()
