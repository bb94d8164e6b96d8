"""Program -> the nodes of a learning step, and of the inference that reads what it learns: what ONNX and TFLite files of them share.

The calls of the program's line are translated one by one (``edgeff.kernels.graph``); what a call writes is a new name. Fed are ``input``
(1, *shape), ``label`` (the class, [1]) or ``target`` (the values to learn, (1, *shape)), and each tensor S
that stays in RAM on a board. What changes with time is state: ``rate`` (2**16 is
the rate that the program was made with) and ``step`` (it counts, and the random generator of stochastic rounding reads it). Integers come
out as those of the twins to the bit. Refused: kernels without a form, all of them at once, each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Call, Program, Tensor
from edgeff.kernels.graph import WIDE, apply, form_of
from edgeff.kernels.graph.operand import Expansions, NodeList, Operand
from edgeff.registry import kernels

NEXT = ".next"
"""What the name of a tensor's value after the step ends in."""
SCORES, LABEL = "scores", "label"
Noise = Literal["inside", "input"]
"""Where the random bits of stochastic rounding come from: from the generator in the graph, or from inputs."""


class Output(NamedTuple):
    """What leaves a graph: an operand, cast to a dtype, in a shape."""

    operand: Operand
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StepGraph:
    """One line as nodes: what is fed and what it gives, by name. ``outputs`` may hold the scores; ``after`` is the state that follows."""

    nodes: NodeList
    inputs: Mapping[str, Operand]
    state: Mapping[str, Operand]
    outputs: Mapping[str, Output]
    after: Mapping[str, Output]


class _Translation:
    """A line under translation: the nodes, and the present value of each tensor, flat and as wide as the forms compute."""

    def __init__(self, program: Program, expansions: Expansions | None, noise: Noise = "inside") -> None:
        self.program = program
        self.nodes = NodeList(expansions, noise=noise == "input")
        self.values: dict[str, Operand] = {}
        self._computed: dict[Any, list[Operand]] = {}

    def feed(self, tensor: Tensor, name: str, shape: tuple[int, ...], dtype: str) -> Operand:
        """Makes ``tensor`` an input of the graph, called ``name``."""
        fed = self.nodes.named(name, dtype, shape)
        self.nodes.place = name
        self.values[tensor.name] = fed.flat().cast(WIDE.get(tensor.dtype, tensor.dtype))
        return fed

    def state(self, tensors: list[Tensor]) -> Mapping[str, Operand]:
        """Makes tensors inputs under their own names."""
        return {tensor.name: self.feed(tensor, tensor.name, tensor.shape, tensor.dtype) for tensor in tensors}

    def output(self, tensor: Tensor, *shape: int) -> Output:
        """The present value of ``tensor`` in a shape, by default its own."""
        return Output(self.value(tensor.name), tensor.dtype, shape or tensor.shape)

    def scores(self) -> Output:
        """The present value of the program's output, (1, classes)."""
        tensor = self.program.tensors[self.program.output]
        return self.output(tensor, 1, *tensor.shape)

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


def learn_graph(program: Program, label: str, noise: Noise, expansions: Expansions | None = None) -> StepGraph:
    """The learning step; ``label`` is the dtype of the label. Its outputs hold the scores before it, where the step computes those.

    With ``noise="input"`` there is an input ``<weight>.noise`` (int8, uniform over all 256 numbers) for each weight that is rounded at
    random; other draws, of labels and directions, stay inside.
    """
    step, inputs = _Translation(program, expansions, noise), {}
    for name in program.lines["learn"].arguments:
        tensor = program.tensors[name]
        if tensor.role == "label":
            inputs[LABEL] = step.feed(tensor, LABEL, (1,), label)
        else:
            inputs[name] = step.feed(tensor, name, (1, *tensor.shape), tensor.dtype)
    state = step.state(list(program.persistent))
    before = dict(step.values)
    for call in program.learn:
        step.run(call)
    after, step.values = step.values, before
    outputs = {} if step.infer() else {SCORES: step.scores()}
    step.values = after
    inputs |= step.nodes.noise or {}
    return StepGraph(step.nodes, inputs, state, outputs, {tensor.name: step.output(tensor) for tensor in program.persistent})


def infer_graph(program: Program, expansions: Expansions | None = None) -> StepGraph:
    """The inference, with as much of the state as it reads."""
    inference, source = _Translation(program, expansions), program.tensors[program.input]
    read = {name for call in program.infer for name in (*call.inputs, *call.outputs)}
    inputs = {source.name: inference.feed(source, source.name, (1, *source.shape), source.dtype)}
    state = inference.state([tensor for tensor in program.persistent if tensor.name in read])
    inference.infer()
    return StepGraph(inference.nodes, inputs, state, {SCORES: inference.scores()}, {})


def check_learns(program: Program) -> None:
    """Raises BadInput for a program without a learning step, Unsupported, naming all of them, for kernels that have no form."""
    what = f"training graph of {program.name!r}"
    if "learn" not in program.lines:
        raise BadInput(what, got="a program for inference only", next_step="name a rule: --rule R")
    reasons: dict[str, str] = {}
    for name in dict.fromkeys(call.kernel for call in (*program.learn, *program.infer)):
        try:
            form_of(kernels[name])
        except Unsupported as error:
            reasons[name] = error.got
    if reasons:
        got = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise Unsupported(what, got=got, next_step="export to C instead (--to c)")


def initial(tensor: Tensor) -> Array:
    """What a tensor of a program holds at the start, in its shape and dtype."""
    return np.zeros(tensor.shape, tensor.dtype) if tensor.data is None else np.asarray(tensor.data, tensor.dtype).reshape(tensor.shape)


def properties(program: Program, settings: Any, graph: StepGraph) -> Mapping[str, Any]:
    """What the graph itself does not say."""
    return {
        "name": program.name,
        "rule": program.rule,
        "numeric": program.numeric,
        "seed": program.seed,
        "settings": asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else {},
        "state": {name: name + NEXT for name in graph.state},
        "noise": {name: list(operand.shape) for name, operand in (graph.nodes.noise or {}).items()},
        "input": _quantisation(program.tensors[program.input]),
        "scores": _quantisation(program.tensors[program.output]),
        **({"target": _quantisation(program.tensors[program.target])} if program.target else {}),
    }


def _quantisation(tensor: Tensor) -> Mapping[str, Any]:
    """How a tensor's integers are read: real = scale * (q - zero_point); the dtype alone where they have no scale."""
    if tensor.quant is None:
        return {"dtype": tensor.dtype}
    return {"dtype": tensor.dtype, "scale": tensor.quant.scale[0], "zero_point": tensor.quant.zero_point}
