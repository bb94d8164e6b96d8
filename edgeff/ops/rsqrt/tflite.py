"""One over the square root in TFLite: RSQRT."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.ops.rsqrt import Rsqrt


def _rsqrt(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    return assembly.elementwise(node, Rsqrt(), node.real(values[0]))


READERS = {"RSQRT": Handler(_rsqrt, (1, 1), schema.BuiltinOptions.NONE)}


def write(graph: Graph, layer: Layer) -> None:
    graph.float_only(layer)
    graph.operator("RSQRT", [graph.source(layer)], graph.output(layer))
