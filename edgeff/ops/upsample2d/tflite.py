"""More pixels in TFLite: RESIZE_NEAREST_NEIGHBOR by whole factors, and TRANSPOSE_CONV as zeros between pixels and a convolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.errors import Unsupported, short
from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, operands
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.transposed import padding_of
from edgeff.formats.tflite.windows import window_options
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.upsample2d import Upsample2d


def _resize(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, size = node.activation(values[0]), node.output.shape[1:]
    shape = x.shape or ()
    if len(shape) != 3 or len(size) != 3 or size[0] % shape[0] or size[1] % shape[1] or node.attributes.get("align_corners"):
        raise node.unsupported(f"a resize of {shape} to {size}, without the batch axis", "whole factors, align_corners false")
    return assembly.upsample(node, x, (size[0] // shape[0], size[1] // shape[1]))


def _transpose_conv(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, weight, bias = operands(assembly, node, [values[2], values[1], values[3]])
    stride = int(node.attributes.get("stride_h", 0)), int(node.attributes.get("stride_w", 0))
    out, padding = node.output.shape[1:3], node.attributes.get("padding")
    if weight.array.ndim != 4 or len(x.shape or ()) != 3 or len(out) != 2 or min(stride) < 1 or padding not in ("SAME", "VALID"):
        got = f"a weight of shape {weight.array.shape}, strides {stride}, padding {padding} for an input of shape {x.shape}"
        raise node.bad(got, "(C_out, KH, KW, C_in), 1 or more, SAME or VALID, (H, W, C)")
    kernel = weight.array.shape[1:3]
    spread = [((x.shape or ())[axis] - 1) * stride[axis] for axis in (0, 1)]
    before = [max(spread[axis] + kernel[axis] - out[axis], 0) // 2 if padding == "SAME" else 0 for axis in (0, 1)]
    after = [spread[axis] + kernel[axis] - out[axis] - before[axis] for axis in (0, 1)]
    flipped = replace(weight, array=np.ascontiguousarray(weight.array[:, ::-1, ::-1]))
    return fused(assembly, node, assembly.transposed_conv2d(node, x, flipped, bias, stride, (before[0], before[1], after[0], after[1])))


def _resize_options(table: Table) -> dict[str, Any]:
    return {"align_corners": bool(table.number(0, "bool"))}


def _options(table: Table) -> dict[str, Any]:
    return window_options(table) | fused_option(table, 3)


READERS = {
    "RESIZE_NEAREST_NEIGHBOR": Handler(_resize, (2, 2), schema.BuiltinOptions.ResizeNearestNeighborOptions, _resize_options),
    "TRANSPOSE_CONV": Handler(_transpose_conv, (3, 4), schema.BuiltinOptions.TransposeConvOptions, _options),
}


def write(graph: Graph, layer: Layer) -> None:
    """Zeros between pixels are part of the TRANSPOSE_CONV that the convolution after them becomes, if TFLite can express it."""
    op = record(layer, Upsample2d)
    if op.zeros and padding_of(graph.network, layer, graph.shapes[layer.inputs[0]]) is not None:
        graph.spread[layer.name] = layer
        return
    if op.zeros:
        got, step = "zeros between pixels", "write it as ONNX or C"
        raise Unsupported(f"layer {short(layer.name)}, {layer.kind}", got=got, allowed="repeated pixels in TFLite files", next_step=step)
    size = graph.constant(f"{layer.name}.size", np.array(layer.shape[:2], np.int32))
    inputs = [graph.source(layer), size]
    graph.operator("RESIZE_NEAREST_NEIGHBOR", inputs, graph.output(layer), "ResizeNearestNeighborOptions")
