"""Depthwise convolutions in TFLite: DEPTHWISE_CONV_2D."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, operands
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.windows import dilated, stride_and_pads, window_options, windowed, with_bias
from edgeff.formats.values import Constant, Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d


def _depthwise_conv2d(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, weight, bias = operands(assembly, node, values)
    if weight.array.ndim != 4 or weight.array.shape[0] != 1:
        raise node.bad(f"a weight of shape {weight.array.shape}", "(1, KH, KW, C_out)")
    weight = dilated(assembly, node, weight)
    kernel = weight.array.shape[1], weight.array.shape[2]
    stride, pads = stride_and_pads(node, x, kernel)
    channels, stated = x.shape[2] if x.shape else 1, int(node.attributes.get("depth_multiplier", 0))
    multiplier = weight.array.shape[3] // channels
    if stated not in (0, multiplier):
        raise node.bad(f"depth multiplier {stated} for {channels} channels and a weight of {weight.array.shape}", multiplier)
    quant = weight.quant
    plain = Constant(weight.array[0], quant if quant is None or quant.axis is None else replace(quant, axis=quant.axis - 1))
    return fused(assembly, node, assembly.depthwise_conv2d(node, x, plain, bias, stride, pads, multiplier))


def _options(table: Table) -> dict[str, Any]:
    dilation = {"dilation_w": int(table.number(5, "int32", 1)), "dilation_h": int(table.number(6, "int32", 1))}
    return window_options(table) | {"depth_multiplier": int(table.number(3, "int32"))} | fused_option(table, 4) | dilation


READERS = {
    "DEPTHWISE_CONV_2D": Handler(_depthwise_conv2d, (2, 3), schema.BuiltinOptions.DepthwiseConv2DOptions, _options),
}


def write(graph: Graph, layer: Layer) -> None:
    """The weight gets a leading axis of 1, and its scales lie along axis 3."""
    x, options = windowed(graph, layer, graph.source(layer), graph.shapes[layer.inputs[0]])
    options |= {"dilationHFactor": 1, "dilationWFactor": 1, "depthMultiplier": record(layer, DepthwiseConv2d).multiplier}
    quant = {key: replace(q, axis=3) if key == "weight" and q.per_channel else q for key, q in layer.quant.items()}
    lifted = replace(layer, params=dict(layer.params) | {"weight": layer.params["weight"][None]}, quant=quant)
    inputs = [x, *graph.parameters(with_bias(lifted, graph.quants[layer.inputs[0]]))]
    graph.operator("DEPTHWISE_CONV_2D", inputs, graph.output(layer), "DepthwiseConv2DOptions", version=3 if graph.int8 else 1, **options)
