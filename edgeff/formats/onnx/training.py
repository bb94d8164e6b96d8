"""Program -> ONNX: the learning step as a graph of plain operators, and the inference that reads what it learns.

Two models, neither with a state of its own. ``learn`` has the inputs ``input`` (1, *shape), ``label`` (the class, int64 [1]) and each
tensor S that stays in RAM on a board; its outputs are ``scores`` (1, classes), where the step computes those of an inference, and
``S.next``. ``infer`` has ``input`` and those S that it reads, and gives ``scores``. Every S has an initialiser too, so the first step needs
no state; each later one is fed what the one before returned. What changes with time is state: ``rate`` (2**16 is the rate that the program
was made with) and ``step`` (it counts, and the random generator of stochastic rounding reads it).

The calls of the program's line are translated one by one (``edgeff.kernels.onnx``); what a call writes is a new name. Integers come out as
those of the twins to the bit. Refused: kernels without a form, all of them at once, each with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgeff.errors import BadInput, Unsupported
from edgeff.formats.files import write_file
from edgeff.formats.onnx.nodes_model import nodes_model
from edgeff.ir import Array, Call, Program, Tensor
from edgeff.kernels.onnx import WIDE, apply, form_of
from edgeff.kernels.onnx.operand import NodeList, Operand
from edgeff.registry import kernels

NEXT = ".next"
"""What the name of a tensor's value after the step ends in."""
SCORES, LABEL = "scores", "label"


@dataclass(frozen=True)
class TrainingGraphs:
    """The models of a learning step and of the inference with what it learns."""

    learn: onnx.ModelProto
    infer: onnx.ModelProto


def training_graphs(program: Program, settings: Any = None) -> TrainingGraphs:
    """The two models of ``program``.

    ``settings``, a record of the rule's settings, are told in the metadata. Raises BadInput for a program that does not learn, Unsupported
    for one with kernels that have no ONNX form.
    """
    if "learn" not in program.lines:
        raise BadInput(f"training graph of {program.name!r}", got="a program for inference only", next_step="name a rule: --rule R")
    _check_forms(program)
    return TrainingGraphs(_learn(program, settings), _infer(program, settings))


def infer_path(path: Path) -> Path:
    """Where the inference is written: ``t.infer.onnx`` beside ``t.onnx``."""
    return path.with_name(f"{path.stem}.infer.onnx")


def write_model(model: onnx.ModelProto, path: Path) -> Path:
    """``path``, now holding ``model``; the same model gives the same bytes. Raises BadInput when it cannot be written."""
    return write_file(path, model.SerializeToString(deterministic=True))


def _check_forms(program: Program) -> None:
    """Raises Unsupported, naming all of them, where kernels of the lines ``infer`` and ``learn`` have no form."""
    reasons: dict[str, str] = {}
    for name in dict.fromkeys(call.kernel for call in (*program.learn, *program.infer)):
        try:
            form_of(kernels[name])
        except Unsupported as error:
            reasons[name] = error.got
    if reasons:
        got = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise Unsupported(f"training graph of {program.name!r}", got=got, next_step="export to C instead (--to c)")


class _Translation:
    """A line under translation: the nodes, and the present value of each tensor, flat and as wide as the forms compute."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes = NodeList()
        self.values: dict[str, Operand] = {}
        self.inputs: list[Operand] = []
        self.outputs: dict[str, tuple[Operand, str, tuple[int, ...]]] = {}
        self._computed: dict[Any, list[Operand]] = {}

    def feed(self, tensor: Tensor, name: str, shape: tuple[int, ...], dtype: str) -> None:
        """Makes ``tensor`` an input of the graph, called ``name``."""
        fed = self.nodes.named(name, dtype, shape)
        self.inputs.append(fed)
        self.nodes.place = name
        self.values[tensor.name] = fed.flat().cast(WIDE.get(tensor.dtype, tensor.dtype))

    def give(self, tensor: Tensor, name: str, shape: tuple[int, ...]) -> None:
        """Makes the present value of ``tensor`` an output of the graph, called ``name``."""
        self.outputs[name] = self.value(tensor.name), tensor.dtype, shape

    def value(self, name: str) -> Operand:
        """The present value of a tensor: what was fed or computed, or what it holds at the start."""
        if name not in self.values:
            stored = self.nodes.constant(initial(self.program.tensors[name]).reshape(-1))
            self.nodes.place = name
            wide = stored.cast(WIDE.get(stored.dtype, stored.dtype))
            self.values[name] = Operand(self.nodes, wide.name, wide.dtype, wide.shape, stored.known.astype(wide.dtype))
        return self.values[name]

    def run(self, call: Call) -> bool:
        """Adds a call. Returns whether it had to be computed: an earlier one may have made the same of the same values."""
        outputs, inputs = [self.value(name) for name in call.outputs], [self.value(name) if name else None for name in call.inputs]
        operands = (operand.name if operand else "" for operand in (*outputs, *inputs))
        key = call.kernel, tuple(sorted(call.attrs.items())), *operands
        new = key not in self._computed
        if new:
            self.nodes.place = call.outputs[0]
            self._computed[key] = apply(kernels[call.kernel], outputs, inputs, call.attrs)
        self.values |= dict(zip(call.outputs, self._computed[key], strict=True))
        return new

    def infer(self) -> bool:
        """Adds the calls of an inference but the choice of the best class. Returns whether any had to be computed."""
        new = [self.run(call) for call in self.program.infer if self.program.prediction not in call.outputs]
        return any(new)

    def model(self, name: str, state: list[Tensor], properties: Mapping[str, Any]) -> onnx.ModelProto:
        """The model, with the initial values of ``state`` as initialisers that may be fed."""
        model = nodes_model(name, self.nodes, self.inputs, self.outputs, {tensor.name: initial(tensor) for tensor in state})
        helper.set_model_props(model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()})
        return model


def initial(tensor: Tensor) -> Array:
    """What a tensor of a program holds at the start, in its shape and dtype."""
    return np.zeros(tensor.shape, tensor.dtype) if tensor.data is None else np.asarray(tensor.data, tensor.dtype).reshape(tensor.shape)


def _learn(program: Program, settings: Any) -> onnx.ModelProto:
    step, scores, state = _Translation(program), program.tensors[program.output], list(program.persistent)
    for name in program.lines["learn"].arguments:
        tensor = program.tensors[name]
        if tensor.role == "label":
            step.feed(tensor, LABEL, (1,), "int64")
        else:
            step.feed(tensor, name, (1, *tensor.shape), tensor.dtype)
    for tensor in state:
        step.feed(tensor, tensor.name, tensor.shape, tensor.dtype)
    before = dict(step.values)
    for call in program.learn:
        step.run(call)
    after, step.values = step.values, before
    if not step.infer():
        step.give(scores, SCORES, (1, *scores.shape))
    step.values = after
    for tensor in state:
        step.give(tensor, tensor.name + NEXT, tensor.shape)
    pairs = {tensor.name: tensor.name + NEXT for tensor in state}
    model = step.model(f"{program.rule} step", state, _properties(program, settings, "learn", pairs))
    bindings = model.training_info.add().update_binding
    for name, following in pairs.items():
        bindings.add(key=name, value=following)
    return model


def _infer(program: Program, settings: Any) -> onnx.ModelProto:
    inference, source, scores = _Translation(program), program.tensors[program.input], program.tensors[program.output]
    read = {name for call in program.infer for name in (*call.inputs, *call.outputs)}
    state = [tensor for tensor in program.persistent if tensor.name in read]
    inference.feed(source, source.name, (1, *source.shape), source.dtype)
    for tensor in state:
        inference.feed(tensor, tensor.name, tensor.shape, tensor.dtype)
    inference.infer()
    inference.give(scores, SCORES, (1, *scores.shape))
    pairs = {tensor.name: tensor.name + NEXT for tensor in state}
    return inference.model(f"{program.name} inference", state, _properties(program, settings, "infer", pairs))


def _properties(program: Program, settings: Any, graph: str, pairs: Mapping[str, str]) -> Mapping[str, Any]:
    """What the graph itself does not say."""
    return {
        "edgeff.graph": graph,
        "edgeff.name": program.name,
        "edgeff.rule": program.rule,
        "edgeff.numeric": program.numeric,
        "edgeff.seed": program.seed,
        "edgeff.settings": asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else {},
        "edgeff.state": dict(pairs),
        "edgeff.input": _quantisation(program.tensors[program.input]),
        "edgeff.scores": _quantisation(program.tensors[program.output]),
    }


def _quantisation(tensor: Tensor) -> Mapping[str, Any]:
    """How a tensor's integers are read: real = scale * (q - zero_point); the dtype alone where they have no scale."""
    if tensor.quant is None:
        return {"dtype": tensor.dtype}
    return {"dtype": tensor.dtype, "scale": tensor.quant.scale[0], "zero_point": tensor.quant.zero_point}
