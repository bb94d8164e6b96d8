"""Normalise layers in ONNX: the five nodes Mul, ReduceMean, Sqrt, Add and Div of u / (sqrt(mean(u * u)) + eps).

A division by constants is a factor on the layer before it, or on the input.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.arithmetic import affine, by_channel
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, present, real
from edgeff.formats.onnx.views import Seen, view
from edgeff.formats.values import Constant, Moment, Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.normalise import Normalise


def _sqrt(graph: Reading, node: Node, values: Values) -> Seen:
    return graph.assembly.step(node, graph.moment(node, values[0]), "mean", "root")


def _divide(graph: Reading, node: Node, values: Values) -> Seen:
    divisor = present(node, values[1])
    if isinstance(divisor, Constant) and divisor.quant is None:
        x = real(node, values[0])
        with np.errstate(divide="ignore"):
            return affine(graph, node, x, 1.0 / by_channel(node, x, divisor).astype(np.float64), np.zeros(1))
    if not isinstance(divisor, Moment):
        raise node.unsupported("a division outside the one known pattern", "u / (sqrt(mean(u * u)) + eps)")
    return view(graph.assembly.divide(node, graph.vector(node, activation(node, values[0])), divisor))


READERS = {
    "Div": Handler(_divide, (2, 2)),
    "Sqrt": Handler(_sqrt, (1, 1)),
}


def write(graph: Graph, layer: Layer) -> None:
    x = graph.read(layer.inputs[0])
    square = graph.step("Mul", [x, x], f"{layer.name}.square")
    axes = list(range(1, len(layer.shape) + 1)) if len(layer.shape) > 1 else [-1]
    mean = graph.step("ReduceMean", [square], f"{layer.name}.mean", axes=axes, keepdims=1)
    root = graph.step("Sqrt", [mean], f"{layer.name}.root")
    eps = graph.constant(f"{layer.name}.eps", np.array(record(layer, Normalise).eps, np.float32))
    graph.finish(layer, "Div", [x, graph.step("Add", [root, eps], f"{layer.name}.divisor")])
