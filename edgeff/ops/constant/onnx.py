"""Constants in ONNX: an initialiser, in an int8 network one of integers with a DequantizeLinear."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer


def write(graph: Graph, layer: Layer) -> None:
    graph.given(layer)
