"""Program -> ONNX: the learning step as a graph of plain operators, and the inference that reads what it learns (``formats.training``).

Two models, neither with a state of its own. ``learn`` has the inputs ``input``, ``label`` and each state tensor S; its outputs are
``scores`` (1, classes), where the step computes those of an inference, and ``S.next``. ``infer`` has ``input`` and those S that it reads,
and gives ``scores``. Every S has an initialiser too, so the first step needs no state; each later one is fed what the one before returned.

With ``ports`` no S has an initialiser, for runtimes that feed inputs alone (onnxruntime-web), and a third model, ``initial``, without
inputs, gives each S to begin with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from edgeff.formats.files import write_file
from edgeff.formats.onnx.nodes_model import nodes_model
from edgeff.formats.onnx.words import WORDS
from edgeff.formats.training import NEXT, Noise, Output, StepGraph, check_learns, infer_graph, initial, learn_graph, properties
from edgeff.ir import Array, Program
from edgeff.kernels.graph.operand import NodeList


@dataclass(frozen=True)
class TrainingGraphs:
    """The models of a learning step and of the inference with what it learns; ``initial``, with ports, is that of the first state."""

    learn: onnx.ModelProto
    infer: onnx.ModelProto
    initial: onnx.ModelProto | None = None


def training_graphs(program: Program, settings: Any = None, noise: Noise = "inside", *, ports: bool = False) -> TrainingGraphs:
    """The models of ``program``.

    ``settings``, a record of the rule's settings, are told in the metadata. ``noise``: as ``learn_graph`` takes it. ``ports``: the state
    is in inputs alone.
    Raises BadInput for a program that does not learn, Unsupported for one with kernels that have no graph form.
    """
    check_learns(program)
    learn, infer = learn_graph(program, "int64", noise, WORDS), infer_graph(program, WORDS)
    start = {} if ports else {name: initial(program.tensors[name]) for name in learn.state}
    model = _model(f"{program.rule} step", learn, {"graph": "learn", **properties(program, settings, learn)}, start)
    bindings = model.training_info.add().update_binding
    for name in learn.state:
        bindings.add(key=name, value=name + NEXT)
    read = {name: values for name, values in start.items() if name in infer.state}
    inference = _model(f"{program.name} inference", infer, {"graph": "infer", **properties(program, settings, infer)}, read)
    return TrainingGraphs(model, inference, _initial_model(program, list(learn.state)) if ports else None)


def infer_path(path: Path) -> Path:
    """Where the inference is written: ``t.infer.onnx`` beside ``t.onnx``."""
    return path.with_name(f"{path.stem}.infer.onnx")


def initial_path(path: Path) -> Path:
    """Where the first state is written: ``t.initial.onnx`` beside ``t.onnx``."""
    return path.with_name(f"{path.stem}.initial.onnx")


def write_model(model: onnx.ModelProto, path: Path) -> Path:
    """``path``, now holding ``model``; the same model gives the same bytes. Raises BadInput when it cannot be written."""
    return write_file(path, model.SerializeToString(deterministic=True))


def _model(name: str, graph: StepGraph, told: Mapping[str, Any], start: Mapping[str, Array]) -> onnx.ModelProto:
    """The model, with the initial values of the state ``start`` as initialisers that may be fed."""
    outputs = {**graph.outputs, **{name + NEXT: output for name, output in graph.after.items()}}
    model = nodes_model(name, graph.nodes, [*graph.inputs.values(), *graph.state.values()], outputs, start)
    helper.set_model_props(model, {f"edgeff.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in told.items()})
    return model


def _initial_model(program: Program, names: Sequence[str]) -> onnx.ModelProto:
    """The model without inputs that gives the state to begin with, by name."""
    nodes = NodeList()
    stored = {name: nodes.constant(initial(program.tensors[name])) for name in names}
    outputs = {name: Output(operand, operand.dtype, operand.shape) for name, operand in stored.items()}
    model = nodes_model(f"{program.name} initial state", nodes, [], outputs, {})
    helper.set_model_props(model, {"edgeff.graph": "initial"})
    return model
