"""Program -> ONNX: the learning step as a graph of plain operators, and the inference that reads what it learns (``formats.training``).

Two models, neither with a state of its own. ``learn`` has the inputs ``input``, ``label`` and each state tensor S; its outputs are
``scores`` (1, classes), where the step computes those of an inference, and ``S.next``. ``infer`` has ``input`` and those S that it reads,
and gives ``scores``. Every S has an initialiser too, so the first step needs no state; each later one is fed what the one before returned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from edgeff.formats.files import write_file
from edgeff.formats.onnx.nodes_model import nodes_model
from edgeff.formats.onnx.words import WORDS
from edgeff.formats.training import NEXT, Noise, StepGraph, check_learns, infer_graph, initial, learn_graph, properties
from edgeff.ir import Program


@dataclass(frozen=True)
class TrainingGraphs:
    """The models of a learning step and of the inference with what it learns."""

    learn: onnx.ModelProto
    infer: onnx.ModelProto


def training_graphs(program: Program, settings: Any = None, noise: Noise = "inside") -> TrainingGraphs:
    """The two models of ``program``.

    ``settings``, a record of the rule's settings, are told in the metadata. ``noise``: as ``learn_graph`` takes it.
    Raises BadInput for a program that does not learn, Unsupported for one with kernels that have no graph form.
    """
    check_learns(program)
    learn, infer = learn_graph(program, "int64", noise, WORDS), infer_graph(program, WORDS)
    model = _model(f"{program.rule} step", program, learn, {"graph": "learn", **properties(program, settings, learn)})
    bindings = model.training_info.add().update_binding
    for name in learn.state:
        bindings.add(key=name, value=name + NEXT)
    inference = _model(f"{program.name} inference", program, infer, {"graph": "infer", **properties(program, settings, infer)})
    return TrainingGraphs(model, inference)


def infer_path(path: Path) -> Path:
    """Where the inference is written: ``t.infer.onnx`` beside ``t.onnx``."""
    return path.with_name(f"{path.stem}.infer.onnx")


def write_model(model: onnx.ModelProto, path: Path) -> Path:
    """``path``, now holding ``model``; the same model gives the same bytes. Raises BadInput when it cannot be written."""
    return write_file(path, model.SerializeToString(deterministic=True))


def _model(name: str, program: Program, graph: StepGraph, told: Mapping[str, Any]) -> onnx.ModelProto:
    """The model, with the initial values of the state as initialisers that may be fed."""
    outputs = {**graph.outputs, **{name + NEXT: output for name, output in graph.after.items()}}
    start = {name: initial(program.tensors[name]) for name in graph.state}
    model = nodes_model(name, graph.nodes, [*graph.inputs.values(), *graph.state.values()], outputs, start)
    helper.set_model_props(model, {f"edgeff.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in told.items()})
    return model
