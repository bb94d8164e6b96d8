"""Identity in ONNX: nothing, or a requantise layer where edgeff's own description of the file says so."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, present
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops.requantise import Requantise


def _same(graph: Reading, node: Node, values: Values) -> Seen:
    value = present(node, values[0])
    if isinstance(value, View) and graph.described.get(node.name) == Requantise.name:
        return value.like(graph.assembly.elementwise(node, Requantise(), value.x))
    return value


READERS = {
    "Identity": Handler(_same, (1, 1)),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.unary(layer, "Identity")
