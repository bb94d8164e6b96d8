"""One over the square root in TFLite: RSQRT."""

from __future__ import annotations

from edgeff.formats.tflite.elementwise import reader
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.rsqrt import Rsqrt

READERS = {"RSQRT": reader(lambda node: Rsqrt())}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("RSQRT", [graph.source(layer)], graph.output(layer))
