"""Softmax in TFLite: SOFTMAX with a beta of 1."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer


def _softmax(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    if node.attributes.get("beta", 0.0) != 1.0:
        raise node.unsupported("a beta other than 1", "beta 1")
    return assembly.softmax(node, node.activation(values[0]))


READERS = {
    "SOFTMAX": Handler(_softmax, (1, 1), schema.BuiltinOptions.SoftmaxOptions, lambda table: {"beta": float(table.number(0, "float32"))}),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("SOFTMAX", [graph.source(layer)], graph.output(layer), "SoftmaxOptions", beta=1.0)
