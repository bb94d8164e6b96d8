"""Program -> TFLite: one file that learns in a runtime which can only infer (``formats.training``), written without TensorFlow.

Each function is a signature. With ``variables`` the state is in the file: ``infer`` (``input`` -> ``scores``, the file's first subgraph),
``learn``, also called ``train`` (``input``, ``label`` int32 [1] -> ``scores`` before the step, where it computes them), ``save`` (-> each
state tensor S) and ``restore`` (each S ->). The variables have the values of the program until one of these is called.

With ``ports`` nothing stays in the file, for runtimes without variables: ``learn`` (``input``, ``label``, each S -> ``scores``, each
``S.next``), the first subgraph, ``infer`` (``input`` and those S that it reads -> ``scores``) and ``initial`` (-> each S).

Only operators of LiteRT's own set. ``input`` and ``scores`` say their scale and zero point as TFLite does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from edgeff.formats.tflite import TRAINING_NAME
from edgeff.formats.tflite.container import Container, Subgraph
from edgeff.formats.tflite.micro import MicroArithmetic
from edgeff.formats.tflite.nodes_subgraph import NodesSubgraph
from edgeff.formats.tflite.ranged import Arithmetic
from edgeff.formats.training import NEXT, SCORES, Noise, StepGraph, check_learns, infer_graph, initial, learn_graph, properties
from edgeff.ir import Program, Tensor

State = Literal["variables", "ports"]
Runtime = Literal["litert", "tflm"]
"""Whose operators the file is made of."""


def training_file(
    program: Program, settings: Any = None, state: State = "variables", noise: Noise = "inside", runtime: Runtime = "litert"
) -> bytes:
    """The file of ``program``; the same program gives the same bytes.

    ``settings``, a record of the rule's settings, are told in the metadata. ``noise``: as ``learn_graph`` takes it. ``runtime``: "tflm"
    gives ports, no ``infer``, and the operators of TFLite Micro, which knows one subgraph; LiteRT runs them too.
    Raises BadInput for a program that does not learn, Unsupported for one with kernels that have no graph form.
    """
    check_learns(program)
    learn, infer = learn_graph(program, "int32", noise), infer_graph(program)
    file = Container(f"edgeff: {program.rule} learns {program.name}")
    if runtime == "tflm":
        _with_ports(file, program, {"learn": learn}, MicroArithmetic)
    elif state == "ports":
        _with_ports(file, program, {"learn": learn, "infer": infer}, Arithmetic)
    else:
        _with_variables(file, program, learn, infer)
    told = {"holds": state if runtime == "litert" else "ports", **properties(program, settings, learn)}
    return file.finish({TRAINING_NAME: json.dumps(told).encode("ascii")})


def _with_variables(file: Container, program: Program, learn: StepGraph, infer: StepGraph) -> None:
    subgraphs = [file.subgraph(name) for name in ("infer", "learn", "save", "restore", "initialise")]
    inference, step, save, restore, initialise = (_Variables(subgraph) for subgraph in subgraphs)
    for function in (inference, step, save, restore):  # the first that is called initialises; the runtime remembers
        function.subgraph.operator("CALL_ONCE", [], [], initSubgraphIndex=len(subgraphs) - 1)
    for function, graph in ((inference, infer), (step, learn)):
        nodes = _fed(function.subgraph, program, graph)
        for name, operand in graph.state.items():
            nodes.feed(operand, function.read(program.tensors[name], f"{name}.before"), operand.dtype)
        nodes.give(graph.outputs, {SCORES: program.tensors[program.output].quant})
        for name, value in zip(graph.after, nodes.add(graph.after.values()), strict=True):
            function.assign(name, value)
    for name in learn.state:
        tensor = program.tensors[name]
        save.subgraph.outputs[name] = save.read(tensor, name)
        restore.assign(name, restore.subgraph.input(name, tensor.dtype, tensor.shape))
        initialise.assign(name, initialise.subgraph.constant(initial(tensor)))
    for key, function in {"infer": inference, "learn": step, "train": step, "save": save, "restore": restore}.items():
        file.sign(key, function.subgraph)


def _with_ports(file: Container, program: Program, graphs: Mapping[str, StepGraph], arithmetic: type[Arithmetic]) -> None:
    for key, graph in graphs.items():
        subgraph = file.subgraph(key)
        nodes = _fed(subgraph, program, graph, arithmetic)
        for name, operand in graph.state.items():
            nodes.feed(operand, subgraph.input(name, operand.dtype, operand.shape), operand.dtype)
        after = {name + NEXT: output for name, output in graph.after.items()}
        nodes.give({**graph.outputs, **after}, {SCORES: program.tensors[program.output].quant})
        file.sign(key, subgraph)
    start = file.subgraph("initial")
    for name in graphs["learn"].state:
        tensor = program.tensors[name]
        start.output(name, start.constant(initial(tensor)), tensor.dtype, tensor.shape)
    file.sign("initial", start)


class _Variables:
    """A subgraph's handles of the variables that all subgraphs share."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self._handles: dict[str, int] = {}

    def _handle(self, name: str) -> int:
        if name not in self._handles:
            self._handles[name] = self.subgraph.tensor(f"{name}.handle", "resource", ())
            # readers refuse a container that is not there
            self.subgraph.operator("VAR_HANDLE", [], [self._handles[name]], container="", sharedName=name)
        return self._handles[name]

    def read(self, tensor: Tensor, name: str) -> int:
        """The value of a variable, as the tensor ``name``."""
        value = self.subgraph.tensor(name, tensor.dtype, tensor.shape)
        self.subgraph.operator("READ_VARIABLE", [self._handle(tensor.name)], [value])
        return value

    def assign(self, name: str, value: int) -> None:
        """Makes a tensor the value of a variable."""
        self.subgraph.operator("ASSIGN_VARIABLE", [self._handle(name), value], [])


def _fed(subgraph: Subgraph, program: Program, graph: StepGraph, arithmetic: type[Arithmetic] = Arithmetic) -> NodesSubgraph:
    """The nodes of ``graph`` in ``subgraph``, with its inputs."""
    nodes = NodesSubgraph(subgraph, graph.nodes, arithmetic)
    for name, operand in graph.inputs.items():
        quant = program.tensors[name].quant if name in (program.input, program.target) else None
        nodes.feed(operand, subgraph.input(name, operand.dtype, operand.shape, quant), operand.dtype)
    return nodes
