"""Convolutions in TFLite: CONV_2D, of which one over a sequence seen as an image becomes a ``conv1d``; TRANSPOSE_CONV after zeros."""

from __future__ import annotations

from typing import Any

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, operands
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.transposed import write_transposed
from edgeff.formats.tflite.windows import dilated, stride_and_pads, window_options, windowed, with_bias
from edgeff.formats.values import Value
from edgeff.ir import Layer


def _conv2d(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, weight, bias = operands(assembly, node, values)
    if weight.array.ndim != 4:
        raise node.bad(f"a weight of shape {weight.array.shape}", "(C_out, KH, KW, C_in)")
    weight = dilated(assembly, node, weight)
    kernel = weight.array.shape[1], weight.array.shape[2]
    stride, pads = stride_and_pads(node, x, kernel)
    return fused(assembly, node, assembly.conv2d(node, x, weight, bias, stride, pads))


def _options(table: Table) -> dict[str, Any]:
    dilation = {"dilation_w": int(table.number(4, "int32", 1)), "dilation_h": int(table.number(5, "int32", 1))}
    return window_options(table) | fused_option(table, 3) | dilation | {"quantized_bias_type": int(table.number(6, "int8"))}


READERS = {
    "CONV_2D": Handler(_conv2d, (2, 3), schema.BuiltinOptions.Conv2DOptions, _options),
}


def write(graph: Graph, layer: Layer) -> None:
    if layer.inputs[0] in graph.spread:
        write_transposed(graph, graph.spread[layer.inputs[0]], layer)
        return
    x, options = windowed(graph, layer, graph.source(layer), graph.shapes[layer.inputs[0]])
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    inputs = [x, *graph.parameters(with_bias(layer, graph.quants[layer.inputs[0]]))]
    graph.operator("CONV_2D", inputs, graph.output(layer), "Conv2DOptions", version=3 if graph.int8 else 1, **options)
