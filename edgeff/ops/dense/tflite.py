"""Dense layers in TFLite: FULLY_CONNECTED."""

from __future__ import annotations

from math import prod
from typing import Any

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, operands
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer


def _fully_connected(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    if node.attributes.get("weights_format"):
        raise node.unsupported("shuffled weights", "weights_format 0")
    x, weight, bias = operands(assembly, node, values)
    if weight.array.ndim != 2 or node.output.shape[-1:] != weight.array.shape[:1]:
        raise node.bad(f"an output of shape {node.output.shape}", f"(batch, n_out) for a weight of shape {weight.array.shape}")
    return fused(assembly, node, assembly.dense(node, x, weight, bias))


def _options(table: Table) -> dict[str, Any]:
    return fused_option(table) | {"weights_format": int(table.number(1, "int8")), "quantized_bias_type": int(table.number(4, "int8"))}


READERS = {
    "FULLY_CONNECTED": Handler(_fully_connected, (2, 3), schema.BuiltinOptions.FullyConnectedOptions, _options),
}


def write(graph: Graph, layer: Layer) -> None:
    x, before = graph.source(layer), layer.inputs[0]
    if len(graph.shapes[before]) > 1:
        x = graph.reshape(x, layer, "flat", (prod(graph.shapes[before]),), graph.quants[before])
    inputs = [x, *graph.parameters(layer), *([] if "bias" in layer.params else [-1])]
    graph.operator(
        "FULLY_CONNECTED", inputs, graph.output(layer), "FullyConnectedOptions", version=4 if graph.int8 else 1, **graph.fused(layer)
    )
