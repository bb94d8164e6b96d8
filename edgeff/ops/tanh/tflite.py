"""The hyperbolic tangent in TFLite: TANH."""

from __future__ import annotations

from edgeff.formats.tflite.elementwise import reader
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.tanh import Tanh

READERS = {"TANH": reader(lambda node: Tanh())}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("TANH", [graph.source(layer)], graph.output(layer))
