"""The leaky ReLU in ONNX: LeakyRelu, and QLinearLeakyRelu of com.microsoft."""

from __future__ import annotations

from edgeff.formats.onnx.elementwise import quantised_reader, reader
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import number
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.leaky_relu import LeakyRelu


def _record(node: Node) -> LeakyRelu:
    return node.record(LeakyRelu, alpha=number(node, "alpha", 0.01))


READERS = {
    "LeakyRelu": reader(_record, frozenset({"alpha"})),
    "QLinearLeakyRelu": quantised_reader(_record, frozenset({"alpha"})),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.unary(layer, "LeakyRelu", alpha=record(layer, LeakyRelu).alpha)
