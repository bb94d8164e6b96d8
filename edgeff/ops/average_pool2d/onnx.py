"""Averages over windows in ONNX: AveragePool, and QLinearAveragePool of com.microsoft."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats.conventions import MAX_ELEMENTS
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, dequantised, first, last, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, real
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.onnx.windows import POOL, WINDOW, pool, pool_window, window_attributes
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer, Quant
from edgeff.ops import record
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.conv2d.onnx import convolution
from edgeff.ops.global_average_pool.onnx import global_average


def _average_pool(graph: Reading, node: Node, values: Values) -> Seen:
    """The mean may fall between two int8 values, so a scale that a later node sets must be that of the input."""
    y = pool(graph, node, real(node, values[0]), AveragePool2d)
    return y.like(replace(y.x, quant=None))


def _qlinear_average_pool(graph: Reading, node: Node, values: Values) -> Seen:
    """A pool if the scale stays the same. If it changes, the file's single rounding must stay single: the mean over the whole image has a
    scale of its own, and the mean over windows inside it is a depthwise convolution with weights of one.
    """
    x = first(graph, node, dequantised(graph, node, values[0], (values[1], values[2])))
    quant = activation_quant(graph, node, (values[3], values[4]))
    kernel, _, pads = pool_window(node, x)
    if x.x.quant == quant or any(pads):
        y = pool(graph, node, x, AveragePool2d)
        y = y.like(replace(y.x, quant=None))
    elif x.shape is not None and kernel == x.shape[1:]:
        y = global_average(graph, node, x)
    else:
        y = _mean_by_weights(graph, node, x, kernel)
    return last(graph, node, quantised(graph, node, y, quant))


def _mean_by_weights(graph: Reading, node: Node, x: View, kernel: tuple[int, ...]) -> View:
    """An average over windows that lie inside the image: weights of 1 with a scale of 1 / (number of taps)."""
    channels = (x.shape or (1,))[0]
    if prod(kernel) * channels > MAX_ELEMENTS:
        raise node.unsupported(f"windows of {kernel} over {channels} channels", f"at most {MAX_ELEMENTS} taps")
    graph.assembly.charge(prod(kernel) * channels)
    weight = Constant(np.ones((channels, 1, *kernel), np.int8), Quant((float(np.float32(1 / prod(kernel))),)))
    attributes = {key: value for key, value in node.attributes.items() if key in WINDOW - {"auto_pad", "pads"}}
    return convolution(graph, replace(node, attributes=attributes | {"group": channels}), x, weight, None)


READERS = {
    "AveragePool": Handler(_average_pool, (1, 1), POOL | {"count_include_pad"}),
    "QLinearAveragePool": Handler(_qlinear_average_pool, (4, 5), POOL | {"channels_last", "count_include_pad"}, MICROSOFT),
}


def write(graph: Graph, layer: Layer) -> None:
    x = graph.read(layer.inputs[0], "channels_first")
    graph.finish(layer, "AveragePool", [x], "channels_first", count_include_pad=0, **window_attributes(record(layer, AveragePool2d)))
