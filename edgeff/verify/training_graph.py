"""A program's learning step as an ONNX graph against the twins: each step from the twins' own state before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce

import numpy as np

from edgeff.formats.onnx.training import LABEL, NEXT, SCORES, training_graphs
from edgeff.ir import Array
from edgeff.program.deploy import Deployment
from edgeff.program.interpreter import Interpreter
from edgeff.verify.comparison import Comparison, compare
from edgeff.verify.engines import OnnxRuntimeStep
from edgeff.verify.libraries import TWIN

GRAPH = "ONNX Runtime, learning graph"
SAMPLES_AFTER = 20
FLOAT = 1e-6
"""What one float32 step may differ by, relative to 1 and to the largest value of the tensor: runtimes add in an order of their own."""
FLOAT_SCORES = 5e-6
"""The same for scores: a goodness is a sum of squares over layers, which doubles the relative error of each."""


def compare_training_graph(
    deployment: Deployment,
    samples: Array,
    labels: Array,
    advance: Callable[[], None] = lambda: None,
    load: Callable[[bytes], Callable[[Mapping[str, Array]], Mapping[str, Array]]] = OnnxRuntimeStep,
) -> list[Comparison]:
    """The comparisons of as many learning steps as there are samples (n, inputs), in the program's input dtype, with their labels (n,).

    One row for integers, where nothing may differ, and one for float32, whose differences are told relative to the largest value of the
    tensor, or to 1; and the scores before the step, where the graph has them. The last row is of the inference after all steps, with the
    state that the graph has learned in the last one. ``load`` gives what runs a model: its outputs by name for its inputs by name, by
    default ONNX Runtime in a process of its own. Raises Unsupported for kernels without an ONNX form, MissingTool without onnxruntime.
    """
    program = deployment.program
    graphs = training_graphs(program, deployment.settings)
    learn, infer = load(graphs.learn.SerializeToString()), load(graphs.infer.SerializeToString())
    twin, state = Interpreter(program), program.persistent
    source = program.tensors[program.input]
    what = f"state after each of {len(samples)} steps of {program.rule}"
    rows: dict[str, list[Comparison]] = {}
    own: dict[str, Array] = {}

    def keep(place: str, of: str, expected: Array, actual: Array) -> None:
        exact, tolerance = expected.dtype != np.float32, FLOAT_SCORES if of.startswith(SCORES) else FLOAT
        size = 1.0 if exact else max(1.0, float(np.abs(expected).max(initial=0.0)))
        pair = (expected, actual) if exact else (expected / np.float32(size), actual / np.float32(size))
        row = compare(TWIN, GRAPH, f"{of} ({'integers' if exact else 'float32'})", pair[0], pair[1], 0 if exact else tolerance)
        rows.setdefault(row.what, []).append(row if row.ok else replace(row, note=f"first in {place}"))

    for number, (x, label) in enumerate(zip(samples, labels, strict=True), 1):
        before = {tensor.name: twin.tensor(tensor.name) for tensor in state}
        entry = {source.name: x.reshape(1, *source.shape)}
        if program.label in program.lines["learn"].arguments:
            entry[LABEL] = np.array([label], np.int64)
        made = learn(entry | before)
        own = {tensor.name: made[tensor.name + NEXT] for tensor in state}
        if SCORES in made:
            twin.predict(x)
            keep(f"step {number}", "scores before each step", twin.output().reshape(-1), made[SCORES].reshape(-1))
        twin.learn(x, int(label))
        for tensor in state:
            keep(f"step {number}, {tensor.name}", what, twin.tensor(tensor.name), own[tensor.name])
        advance()
    read = {given.name for given in graphs.infer.graph.input}
    for number, x in enumerate(samples[:SAMPLES_AFTER], 1):
        twin.predict(x)
        made = infer({source.name: x.reshape(1, *source.shape)} | {name: value for name, value in own.items() if name in read})
        keep(f"sample {number}", f"scores after {len(samples)} steps", twin.output().reshape(-1), made[SCORES].reshape(-1))
    return [reduce(Comparison.with_more, group) for group in rows.values()]
