"""Convolutions in ONNX: Conv and QLinearConv, over images or sequences, grouped or depthwise.

Weights are (C_out, C_in / group, KH, KW) or (C_out, C_in / group, K) there. One over a sequence becomes a ``conv1d``, one of as many groups
as channels a ``depthwise_conv2d``, unless edgeff's own description says that it was written as another.
"""

from __future__ import annotations

from dataclasses import replace

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import activation_quant, bias_of, dequantised, quantised, weight, weight_of
from edgeff.formats.onnx.reading import Handler, Reading, Values, integers, optional, real, whole
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.onnx.windows import WINDOW, as_image, as_tensor, four, positions, two, window, window_attributes
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d


def convolution(graph: Reading, node: Node, x: View, weight: Constant, bias: Constant | None) -> View:
    """A Conv with its attributes on a float tensor; ``weight`` and ``bias`` may be quantised along axis 0."""
    sizes, shape = positions(node, x), weight.array.shape
    if len(shape) != len(sizes) + 2 or 0 in shape:
        raise node.bad(f"a weight of shape {shape} for an input of shape {x.shape}", "(C_out, C_in / group, KH, KW), or (.., K)")
    kernel = integers(node, "kernel_shape", shape[2:], 1)
    if kernel != shape[2:]:
        raise node.bad(f"kernel_shape {kernel} for a weight of shape {shape}", f"{shape[2:]}")
    weight = graph.assembly.spread(node, weight, 2, integers(node, "dilations", (1,) * len(sizes), 1))
    node = replace(node, attributes={key: value for key, value in node.attributes.items() if key not in ("dilations", "kernel_shape")})
    shape = weight.array.shape
    kernel = shape[2:]
    strides, pads = window(node, x, kernel)
    if weight.quant is not None and weight.quant.axis not in (None, 0):
        raise node.unsupported(f"scales along axis {weight.quant.axis} of the weight", "one, or one for each output: axis 0")
    group, channels = whole(node, "group", 1), (x.shape or (0,))[0]
    array = weight.array if len(sizes) == 2 else weight.array[:, :, None]
    image, stride, sides = as_image(graph, node, x), two(strides, 1), four(pads)
    written = graph.described.get(node.name, DepthwiseConv2d.name if group > 1 else Conv2d.name)
    if group == channels and shape[1] == 1 and written == DepthwiseConv2d.name:
        if shape[0] % group:
            raise node.bad(f"a weight of shape {shape} in {group} groups", "as many outputs for each group")
        quant = weight.quant if weight.quant is None or weight.quant.axis is None else replace(weight.quant, axis=2)
        depthwise = Constant(array[:, 0].transpose(1, 2, 0), quant)
        y = graph.assembly.depthwise_conv2d(node, image, depthwise, bias, stride, sides, shape[0] // group)
    else:
        if group < 1 or shape[1] * group != channels or shape[0] % group:
            got = f"a weight of shape {shape} in {group} groups for an input of shape {x.shape}"
            raise node.bad(got, f"{channels} input channels in all, and as many outputs for each group")
        y = graph.assembly.conv2d(node, image, Constant(array.transpose(0, 2, 3, 1), weight.quant), bias, stride, sides)
    return as_tensor(graph, node, y, len(sizes) + 1)


def _conv(graph: Reading, node: Node, values: Values) -> Seen:
    return convolution(graph, node, real(node, values[0]), weight(graph, node, values[1]), optional(node, values[2], "bias"))


def _qlinear_conv(graph: Reading, node: Node, values: Values) -> Seen:
    x = dequantised(graph, node, values[0], (values[1], values[2]))
    filters = weight_of(graph, node, values[3], (values[4], values[5]), 0)
    y = convolution(graph, node, x, filters, bias_of(graph, node, values[8], x, filters))
    return quantised(graph, node, y, activation_quant(graph, node, (values[6], values[7])))


READERS = {
    "Conv": Handler(_conv, (2, 3), WINDOW | {"group"}),
    "QLinearConv": Handler(_qlinear_conv, (8, 9), WINDOW | {"group"}),
}


def write(graph: Graph, layer: Layer) -> None:
    weight = layer.params["weight"].transpose(0, 3, 1, 2)  # (C_out, KH, KW, C_in / groups) -> (C_out, C_in / groups, KH, KW)
    x = graph.read(layer.inputs[0], "channels_first")
    op = record(layer, Conv2d)
    attributes = window_attributes(op) | ({"group": op.groups} if op.groups != 1 else {})
    graph.finish(layer, "Conv", [x, *graph.parameters(layer, weight)], "channels_first", **attributes)
