"""A program's learning step as a graph against the twins, in ONNX Runtime, LiteRT and TFLM: each step from the twins' state before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np

from edgeff.formats.onnx.training import training_graphs
from edgeff.formats.tflite.training import training_file
from edgeff.formats.training import LABEL, NEXT, SCORES, learn_graph
from edgeff.ir import Array
from edgeff.program.deploy import Deployment
from edgeff.program.interpreter import Interpreter
from edgeff.verify.comparison import Comparison, compare
from edgeff.verify.engines import LitertStep, OnnxRuntimeStep, TflmStep
from edgeff.verify.libraries import TWIN

SAMPLES_AFTER = 20
FLOAT = 1e-6
"""What one float32 step may differ by, relative to 1 and to the largest value of the tensor: runtimes add in an order of their own."""
FLOAT_SCORES = 5e-6
"""The same for scores: a goodness is a sum of squares over layers, which doubles the relative error of each."""
Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class RunningGraph:
    """A learning step and the inference with what it learns, in a runtime: outputs by name for inputs by name, the state among both.

    Inputs that a function does not take are ignored. ``infer`` is None where the runtime runs the step alone. ``label`` is the dtype of
    the label.
    """

    learn: Function
    infer: Function | None
    label: str


def in_onnx_runtime(deployment: Deployment, load: Callable[[bytes], Function] = OnnxRuntimeStep) -> RunningGraph:
    """The graphs in ONNX Runtime, by default in a process of its own. Raises Unsupported for kernels without a form, MissingTool."""
    graphs = training_graphs(deployment.program, deployment.settings)

    def function(model: bytes, names: set[str]) -> Function:
        run = load(model)
        return lambda inputs: run({name: value for name, value in inputs.items() if name in names})

    learn, infer = (
        function(model.SerializeToString(), {given.name for given in model.graph.input}) for model in (graphs.learn, graphs.infer)
    )
    return RunningGraph(learn, infer, "int64")


def in_litert(
    deployment: Deployment, load: Callable[[bytes], Callable[[str, Mapping[str, Array]], Mapping[str, Array]]] = LitertStep
) -> RunningGraph:
    """The file in LiteRT, by default in a process of its own. Raises Unsupported for kernels without a form, MissingTool."""
    run = load(training_file(deployment.program, deployment.settings))
    return RunningGraph(partial(run, "learn"), partial(run, "infer"), "int32")


def in_tflm(deployment: Deployment, load: Callable[[bytes, list[str], list[str]], Function] = TflmStep) -> RunningGraph:
    """The step in TFLM, by default in a process of its own: a witness, for a board runs the C.

    Raises Unsupported for kernels without a form and for what TFLM has no operators for; MissingTool.
    """
    program = deployment.program
    step = learn_graph(program, "int32", "inside")
    inputs, outputs = [*step.inputs, *step.state], [*step.outputs, *(name + NEXT for name in step.after)]
    return RunningGraph(load(training_file(program, deployment.settings, runtime="tflm"), inputs, outputs), None, "int32")


GRAPHS: Mapping[str, Callable[[Deployment], RunningGraph]] = {
    "ONNX Runtime, learning graph": in_onnx_runtime,
    "LiteRT, learning graph": in_litert,
    "TFLM, learning graph": in_tflm,
}


def compare_training_graph(
    deployment: Deployment,
    name: str,
    samples: Array,
    labels: Array,
    advance: Callable[[], None] = lambda: None,
    load: Callable[[Deployment], RunningGraph] | None = None,
) -> list[Comparison]:
    """The comparisons of as many learning steps as there are samples (n, inputs), in the program's input dtype, with their labels (n,).

    One row for integers, where nothing may differ, and one for float32, whose differences are told relative to the largest value of the
    tensor, or to 1; and the scores before the step, where the graph has them. The last row is of the inference after all steps, with the
    state that the graph has learned in the last one, where the runtime infers. ``name``: a key of GRAPHS, or of what ``load`` loads.
    Raises Unsupported for kernels without a form, MissingTool without the runtime.
    """
    program = deployment.program
    graph = (load or GRAPHS[name])(deployment)
    twin, state = Interpreter(program), program.persistent
    source = program.tensors[program.input]
    what = f"state after each of {len(samples)} steps of {program.rule}"
    rows: dict[str, list[Comparison]] = {}
    own: dict[str, Array] = {}

    def keep(place: str, of: str, expected: Array, actual: Array) -> None:
        exact, tolerance = expected.dtype != np.float32, FLOAT_SCORES if of.startswith(SCORES) else FLOAT
        size = 1.0 if exact else max(1.0, float(np.abs(expected).max(initial=0.0)))
        pair = (expected, actual) if exact else (expected / np.float32(size), actual / np.float32(size))
        row = compare(TWIN, name, f"{of} ({'integers' if exact else 'float32'})", pair[0], pair[1], 0 if exact else tolerance)
        rows.setdefault(row.what, []).append(row if row.ok else replace(row, note=f"first in {place}"))

    for number, (x, label) in enumerate(zip(samples, labels, strict=True), 1):
        before = {tensor.name: twin.tensor(tensor.name) for tensor in state}
        entry = {source.name: x.reshape(1, *source.shape)}
        if program.target:
            entry[program.target] = np.reshape(label, (1, *program.tensors[program.target].shape))
        elif program.label in program.lines["learn"].arguments:
            entry[LABEL] = np.array([label], graph.label)
        made = graph.learn(entry | before)
        own = {tensor.name: made[tensor.name + NEXT] for tensor in state}
        if SCORES in made:
            twin.predict(x)
            keep(f"step {number}", "scores before each step", twin.output().reshape(-1), made[SCORES].reshape(-1))
        twin.learn(x, label)
        for tensor in state:
            keep(f"step {number}, {tensor.name}", what, twin.tensor(tensor.name), own[tensor.name])
        advance()
    for number, x in enumerate(samples[:SAMPLES_AFTER], 1):
        if graph.infer is None:
            break
        twin.predict(x)
        made = graph.infer({source.name: x.reshape(1, *source.shape)} | own)
        keep(f"sample {number}", f"scores after {len(samples)} steps", twin.output().reshape(-1), made[SCORES].reshape(-1))
    return [reduce(Comparison.with_more, group) for group in rows.values()]
