"""Normalise layers in ONNX: the five nodes Mul, ReduceMean, Sqrt, Add and Div of u / (sqrt(mean(u * u)) + eps)."""

from __future__ import annotations

from edgeff.formats.onnx.reading import Graph, Handler, Values, activation, present
from edgeff.formats.onnx.views import Seen, view
from edgeff.formats.values import Activation, Moment, Node


def _sqrt(graph: Graph, node: Node, values: Values) -> Seen:
    return graph.assembly.step(node, graph.moment(node, values[0]), "mean", "root")


def _divide(graph: Graph, node: Node, values: Values) -> Seen:
    divisor = present(node, values[1])
    if not isinstance(divisor, Moment):
        raise node.unsupported("a division outside the one known pattern", "u / (sqrt(mean(u * u)) + eps)")
    x: Activation = graph.vector(node, activation(node, values[0]))
    return view(graph.assembly.divide(node, x, divisor))


READERS = {
    "Div": Handler(_divide, (2, 2)),
    "Sqrt": Handler(_sqrt, (1, 1)),
}
