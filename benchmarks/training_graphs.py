"""The learning step as an ONNX graph beside the C of the host: equal state, accuracy, processor time of a step, size.

Fresh weights learn the training samples of digits once, in the C and in unmodified ONNX Runtime, which feeds its own state back. Integers:
every element of the state after the last step, and so the accuracy, is equal. Times are processor time on one thread.
``python benchmarks/training_graphs.py [STEPS]`` -> a table on stdout.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.errors import Unsupported
from edgeff.formats.onnx.training import infer_path, training_graphs, write_model
from edgeff.graphs import Learner
from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy

TESTED = 360


def row(name: str, network: Network, rule: str, numeric: Any, steps: int) -> str:
    """One line of the table; '' where the rule does not run on a device with this network."""
    data = registry.tasks["digits"].load(0)
    x = data.x_train.reshape(-1, *network.input_shape)[:steps]
    try:
        deployment = deploy(network, x, rule=rule, numeric=numeric)
    except Unsupported:
        return ""
    program, labels = deployment.program, data.y_train[:steps]
    samples, tested = deployment.inputs(x), deployment.inputs(data.x_test[:TESTED].reshape(-1, *network.input_shape))
    host = HostTarget(program)
    started = time.process_time()
    host.learn_many(samples, labels)
    c_us = (time.process_time() - started) / steps * 1e6
    graphs = training_graphs(program, deployment.settings)
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(graphs.learn, Path(folder) / "t.onnx")
        write_model(graphs.infer, infer_path(path))
        learner, size = Learner(path), path.stat().st_size
    started = time.process_time()
    for sample, label in zip(samples, labels, strict=True):
        learner.learn(sample, int(label))
    graph_us = (time.process_time() - started) / steps * 1e6
    differing = sum(int((host.tensor(key) != value).sum()) for key, value in learner.state.items())
    elements = sum(value.size for value in learner.state.values())
    predicted = np.array([learner.predict(sample) for sample in tested])
    shares = [float((best == data.y_test[:TESTED]).mean()) for best in (host.predict_many(tested)[0], predicted)]
    state = f"{differing:,} of {elements:,}" if numeric != "float32" else "-"
    nodes = len(graphs.learn.graph.node)
    accuracy = " | ".join(f"{100 * share:.2f} %" for share in shares)
    return f"| {name} | {rule} | {numeric} | {state} | {accuracy} | {c_us:,.0f} | {graph_us:,.0f} | {nodes:,} | {size / 1000:,.1f} |"


def main() -> None:
    """Prints the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1437
    networks = {
        "64-32-10": initialised(structure("64-32-10", bias=True), 0),
        "cnn_small": initialised(structure("cnn_small", input_shape=(8, 8, 1), classes=10), 0),
    }
    print("| network | rule | numeric | state differing | accuracy, C | accuracy, graph | C, us | graph, us | nodes | kB |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, network in networks.items():
        for rule in registry.rules:
            for numeric in registry.rules[rule].numerics:
                if line := row(name, network, rule, numeric, steps if name == "64-32-10" else steps // 4):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
