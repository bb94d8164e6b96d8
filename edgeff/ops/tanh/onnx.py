"""The hyperbolic tangent in ONNX: Tanh."""

from __future__ import annotations

from edgeff.formats.onnx.elementwise import reader
from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.tanh import Tanh

READERS = {"Tanh": reader(lambda node: Tanh())}


def write(graph: Graph, layer: Layer) -> None:
    graph.unary(layer, "Tanh")
