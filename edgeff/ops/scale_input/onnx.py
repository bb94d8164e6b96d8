"""Standardised inputs in ONNX: Sub and Mul by constants before every other layer, and in an int8 network before its QuantizeLinear."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer


def write(graph: Graph, layer: Layer) -> None:
    mean, factor = (graph.constant(f"{layer.name}.{name}", layer.params[name]) for name in ("mean", "factor"))
    centred = graph.step("Sub", [graph.read(layer.inputs[0]), mean], f"{layer.name}.centred")
    graph.finish(layer, "Mul", [centred, factor])
