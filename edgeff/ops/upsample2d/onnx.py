"""More pixels in ONNX: Resize and Upsample (nearest) by whole factors, and ConvTranspose as zeros between pixels and a convolution.

Zeros between pixels are written as a ConvTranspose of each channel by 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.formats.onnx import quantised
from edgeff.formats.onnx.constants import BATCH
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, integers, optional, real, whole, word
from edgeff.formats.onnx.views import Seen
from edgeff.formats.onnx.windows import as_image, as_tensor, four, positions, two
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.upsample2d import Upsample2d

RULES = {("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")}
"""How a coordinate is computed and rounded, where whole factors repeat each pixel as often."""


def _resize(graph: Reading, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    old = node.operator == "Upsample" or graph.opset < 11
    rule = ("asymmetric", "floor") if old else (word(node, "coordinate_transformation_mode", "half_pixel"), _rounding(node))
    if word(node, "mode", "nearest") != "nearest" or rule not in RULES:
        raise node.unsupported(f"mode {word(node, 'mode', 'nearest')}, {' and '.join(rule)}", "nearest, of pixels that are repeated")
    sizes = positions(node, x)
    scales = np.array(node.attributes["scales"]) if "scales" in node.attributes else None
    given = values[1] if old else values[2]
    if given is not None:
        scales = constant(node, given, "scale").array
    if not old and values[3] is not None:
        target = constant(node, values[3], "size").array
        known = target.shape == (len(sizes) + 2,) and target[0] in (1, BATCH)
        scales = np.array((1, *target[1:])) / np.array((1, *(x.shape or ()))) if known else None
    if (
        scales is None
        or scales.shape != (len(sizes) + 2,)
        or not np.all(scales - np.rint(scales) == 0)
        or np.any(scales[:2] != 1)
        or scales.min() < 1
    ):
        got = "no constant scales" if scales is None else f"scales of {scales.reshape(-1)[:6].tolist()}"
        raise node.unsupported(f"{got} for an input of shape {x.shape}", "1 for batch and channels, whole numbers for the others")
    factors = two(tuple(int(scale) for scale in scales[2:]), 1)
    return as_tensor(graph, node, graph.assembly.upsample(node, as_image(graph, node, x), factors), len(sizes) + 1)


def _rounding(node: Node) -> str:
    return word(node, "nearest_mode", "round_prefer_floor")


def _conv_transpose(graph: Reading, node: Node, values: Values) -> Seen:
    x, weight, bias = real(node, values[0]), quantised.weight(graph, node, values[1]), optional(node, values[2], "bias")
    sizes, shape = positions(node, x), weight.array.shape
    ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
    strides = integers(node, "strides", ones, 1)
    if graph.described.get(node.name) == Upsample2d.name:
        return as_tensor(graph, node, graph.assembly.upsample(node, as_image(graph, node, x), two(strides, 1), zeros=True), len(sizes) + 1)
    plain = integers(node, "dilations", ones, 1) == ones and word(node, "auto_pad", "NOTSET") == "NOTSET"
    if not plain or "output_shape" in node.attributes or len(shape) != len(sizes) + 2 or 0 in shape:
        got = f"a dilation, auto_pad, an output_shape, or a weight of shape {shape}"
        raise node.unsupported(got, "none of these, (C_in, C_out / group, ..)")
    groups = whole(node, "group", 1)
    if groups < 1 or shape[0] % groups or shape[0] != (x.shape or (0,))[0]:
        raise node.bad(f"a weight of shape {shape} in {groups} groups for an input of shape {x.shape}", "as many channels in each group")
    pads, extra = integers(node, "pads", zeros + zeros, 0), integers(node, "output_padding", zeros, 0)
    quant = weight.quant
    if quant is not None and quant.axis is not None:
        if quant.axis != 1 or groups > 1:
            got = f"scales along axis {quant.axis} of a weight in {groups} groups"
            raise node.unsupported(got, "one, or in one group one for each output: axis 1")
        quant = replace(quant, axis=0)
    array = weight.array if len(sizes) == 2 else weight.array[:, :, None]
    by_group = array.reshape(groups, shape[0] // groups, *array.shape[1:]).transpose(0, 2, 3, 4, 1)
    merged = by_group.reshape(groups * shape[1], *by_group.shape[2:])
    flipped = Constant(np.ascontiguousarray(merged[:, ::-1, ::-1]), quant)
    top, left, bottom, right = four(pads)
    down, across = two(extra, 0)
    edges = top, left, bottom - down, right - across
    y = graph.assembly.transposed_conv2d(node, as_image(graph, node, x), flipped, bias, two(strides, 1), edges)
    return as_tensor(graph, node, y, len(sizes) + 1)


_WINDOW = frozenset({"auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"})
_RESIZE = frozenset({"coordinate_transformation_mode", "cubic_coeff_a", "mode", "nearest_mode", "exclude_outside", "extrapolation_value"})
READERS = {
    "ConvTranspose": Handler(_conv_transpose, (2, 3), _WINDOW),
    "Resize": Handler(_resize, (1, 4), _RESIZE),
    "Upsample": Handler(_resize, (1, 2), frozenset({"mode", "scales"})),
}


def write(graph: Graph, layer: Layer) -> None:
    op = record(layer, Upsample2d)
    x = graph.read(layer.inputs[0], "channels_first")
    if op.zeros:
        alone = graph.constant(f"{layer.name}.alone", np.ones((layer.shape[2], 1, 1, 1), np.float32))
        strides = [op.factor_h, op.factor_w]
        graph.finish(layer, "ConvTranspose", [x, alone], "channels_first", strides=strides, group=layer.shape[2])
        return
    scales = graph.constant(f"{layer.name}.scales", np.array([1, 1, op.factor_h, op.factor_w], np.float32))
    inputs = [x, "", scales]
    graph.finish(
        layer, "Resize", inputs, "channels_first", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
