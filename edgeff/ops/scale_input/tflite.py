"""Standardised inputs in TFLite: SUB and MUL of the float input by constants, and in an int8 network the QUANTIZE after them."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer


def write(graph: Graph, layer: Layer) -> None:
    mean, factor = (graph.constant(f"{layer.name}.{name}", layer.params[name]) for name in ("mean", "factor"))
    centred = graph.real(f"{layer.name}.centred", layer.shape)
    graph.operator("SUB", [graph.indices["input"], mean], centred, "SubOptions", version=1)
    if not layer.quant:
        graph.operator("MUL", [centred, factor], graph.output(layer), "MulOptions", version=1)
        return
    scaled = graph.real(f"{layer.name}.real", layer.shape)
    graph.operator("MUL", [centred, factor], scaled, "MulOptions", version=1)
    graph.operator("QUANTIZE", [scaled], graph.output(layer), "QuantizeOptions", version=1)
