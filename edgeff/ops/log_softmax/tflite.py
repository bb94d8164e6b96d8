"""The logarithm of the softmax in TFLite: LOG_SOFTMAX."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.ops.log_softmax import LogSoftmax


def _log_softmax(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    return assembly.softmax(node, node.real(values[0]), LogSoftmax())


READERS = {"LOG_SOFTMAX": Handler(_log_softmax, (1, 1), schema.BuiltinOptions.LogSoftmaxOptions)}


def write(graph: Graph, layer: Layer) -> None:
    graph.float_only(layer)
    graph.operator("LOG_SOFTMAX", [graph.source(layer)], graph.output(layer), "LogSoftmaxOptions")
