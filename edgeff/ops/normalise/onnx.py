"""Normalise layers in ONNX: the five nodes Mul, ReduceMean, Sqrt, Add and Div of u / (sqrt(mean(u * u)) + eps).

A division by constants is a factor on the layer before it, or on the input.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.conventions import check_finite, short
from edgeff.formats.onnx.arithmetic import affine
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.pairwise import folded, pairwise
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, present, real
from edgeff.formats.onnx.views import Seen, View, view
from edgeff.formats.values import Constant, Moment, Node
from edgeff.ir import Array, Layer
from edgeff.ops import record
from edgeff.ops.mul import Mul
from edgeff.ops.normalise import Normalise


def _sqrt(graph: Reading, node: Node, values: Values) -> Seen:
    return graph.assembly.step(node, graph.moment(node, values[0]), "mean", "root")


def _divide(graph: Reading, node: Node, values: Values) -> Seen:
    divisor = present(node, values[1])
    if isinstance(divisor, Constant) and divisor.quant is None:
        return _by_constant(graph, node, real(node, values[0]), divisor)
    if not isinstance(divisor, Moment):
        raise node.unsupported("a division outside the one known pattern", "u / (sqrt(mean(u * u)) + eps)")
    return view(graph.assembly.divide(node, graph.vector(node, activation(node, values[0])), divisor))


def _by_constant(graph: Reading, node: Node, x: View, divisor: Constant) -> Seen:
    """A factor on the layer before, or a product with the reciprocals."""
    if divisor.array.dtype != np.float32 or not divisor.array.all():
        raise node.unsupported("a divisor that is not float32 or has a 0 in it", "float32 numbers other than 0")
    vector = folded(graph, node, Mul, x, divisor)
    if vector is not None:
        return affine(graph, node, x, 1.0 / vector.astype(np.float64), np.zeros(1))
    with np.errstate(over="ignore"):
        reciprocals: Array = np.float32(1.0) / divisor.array
    check_finite(reciprocals, f"node {short(node.name)}, 1 over its divisor")
    return pairwise(graph, node, Mul(), [x, Constant(reciprocals)])


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
