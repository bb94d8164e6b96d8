"""The absolute value in ONNX: Abs."""

from __future__ import annotations

from edgeff.formats.onnx.elementwise import reader
from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.abs import Abs

READERS = {"Abs": reader(lambda node: Abs())}


def write(graph: Graph, layer: Layer) -> None:
    graph.unary(layer, "Abs")
