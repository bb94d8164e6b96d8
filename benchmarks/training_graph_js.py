"""The JavaScript of docs/training_graphs.md, as it stands there, in Node with onnxruntime-web: its state beside that of ONNX Runtime.

``python benchmarks/training_graph_js.py FOLDER [RULE ..]``: FOLDER holds ``node_modules/onnxruntime-web``, as ``npm install`` makes it, and
``node`` is on the PATH. Prints, for each rule in int8 and float32, how many elements of the state differ, the largest difference and the
processor time of a step; ends with exit status 1 where integers differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.formats.onnx.training import infer_path, initial_path, training_graphs, write_model
from edgeff.graphs import Learner
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy

PAGE = Path(__file__).parents[1] / "docs" / "training_graphs.md"
STEPS = 300
BEFORE = """import { readFileSync, writeFileSync } from "node:fs";
const { xTrain, yTrain, xTest, scale, zeroPoint } = JSON.parse(readFileSync("data.json"));
const started = process.cpuUsage();
"""
AFTER = """
const used = process.cpuUsage(started);
const plain = Object.fromEntries(Object.entries({ ...state, scores }).map(([name, tensor]) => [name, Array.from(tensor.data, Number)]));
writeFileSync("state.json", JSON.stringify({ plain, us: (used.user + used.system) / xTrain.length }));
"""


def compare(packages: Path, rule: str, numeric: Any) -> int:
    """The elements of the state and scores that differ after STEPS steps; prints them."""
    data, network = registry.tasks["digits"].load(0), initialised(structure("64-32-10", bias=True), 0)
    x, labels = data.x_train[:STEPS], data.y_train[:STEPS]
    deployment = deploy(network, data.x_train, rule=rule, numeric=numeric)
    graphs = training_graphs(deployment.program, deployment.settings, ports=True)
    code = PAGE.read_text(encoding="utf-8").split("```javascript\n")[1].split("```")[0]
    first, rest = code.split("\n", 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "node_modules").symlink_to((packages / "node_modules").resolve())
        path = write_model(graphs.learn, folder / "t.onnx")
        write_model(graphs.infer, infer_path(path))
        if graphs.initial:
            write_model(graphs.initial, initial_path(path))
        learner = Learner(path)
        entry = learner.properties["input"]
        given = {"scale": entry.get("scale"), "zeroPoint": entry.get("zero_point"), "xTrain": x.tolist(), "yTrain": labels.tolist()}
        (folder / "data.json").write_text(json.dumps(given | {"xTest": data.x_test[:1].tolist()}), encoding="utf-8")
        (folder / "learn.mjs").write_text(f"{first}\n{BEFORE}{rest}{AFTER}", encoding="utf-8")
        subprocess.run(["node", "learn.mjs"], cwd=folder, check=True)
        made = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    for sample, label in zip(x, labels, strict=True):
        learner.learn(sample, int(label))
    expected = {**learner.state, "scores": learner.scores(data.x_test[0])}
    differing, largest = 0, 0.0
    for key, values in expected.items():
        difference = np.abs(np.array(made["plain"][key]).reshape(values.shape) - values.astype(np.float64))
        differing, largest = differing + int((difference > 0).sum()), max(largest, float(difference.max()))
    elements = sum(prod(values.shape) for values in expected.values())
    print(
        f"{rule} {numeric}: {differing} of {elements:,} differ after {STEPS} steps, by {largest:.1e} at most; {made['us']:,.0f} us a step"
    )
    return differing if numeric != "float32" else 0


def main() -> None:
    packages, rules = Path(sys.argv[1]), sys.argv[2:] or ["pepita", "dfa", "bp"]
    differing = [compare(packages, rule, numeric) for rule in rules for numeric in ("int8", "float32")]
    sys.exit(any(differing))


if __name__ == "__main__":
    main()
