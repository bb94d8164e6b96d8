"""The logarithm of the softmax in ONNX: LogSoftmax."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, real
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops.log_softmax import LogSoftmax
from edgeff.ops.softmax.onnx import over_last


def _log_softmax(graph: Reading, node: Node, values: Values) -> Seen:
    return over_last(graph, node, LogSoftmax(), real(node, values[0]))


READERS = {"LogSoftmax": Handler(_log_softmax, (1, 1), frozenset({"axis"}))}


def write(graph: Graph, layer: Layer) -> None:
    graph.finish(layer, "LogSoftmax", [graph.read(layer.inputs[0])], axis=-1)
