"""Further inputs in ONNX: inputs of the graph, float, with a QuantizeLinear in an int8 network."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer


def write(graph: Graph, layer: Layer) -> None:
    graph.further_input(layer)
