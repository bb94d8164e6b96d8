"""The ONNX form of each layer kind: one small function a kind, and the table of them.

A function puts the nodes of its layer into the graph; layouts, activations and quantisation are the graph's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Array, Layer
from edgeff.ops import record
from edgeff.ops.conv1d import Conv1d
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.label import Label
from edgeff.ops.normalise import Normalise
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.relu import Relu
from edgeff.ops.standardise import Standardise
from edgeff.ops.transpose import Transpose
from edgeff.ops.window import Windowed


def _parameters(graph: Graph, layer: Layer, weight: Array | None = None) -> list[str]:
    return [graph.parameter(layer, key, weight if key == "weight" else None) for key in ("weight", "bias") if key in layer.params]


def _dense(graph: Graph, layer: Layer) -> None:
    graph.finish(layer, "Gemm", [graph.read(layer.inputs[0], "flat"), *_parameters(graph, layer)], transB=1)


def _window(op: Windowed) -> dict[str, Any]:
    """The attributes of the window of a convolution or pool."""
    return {"kernel_shape": [*op.window], "strides": [*op.stride], "pads": [*op.pads]}


def _conv2d(graph: Graph, layer: Layer) -> None:
    weight = layer.params["weight"].transpose(0, 3, 1, 2)  # (C_out, KH, KW, C_in / groups) -> (C_out, C_in / groups, KH, KW)
    x = graph.read(layer.inputs[0], "channels_first")
    op = record(layer, Conv2d)
    attributes = _window(op) | ({"group": op.groups} if op.groups != 1 else {})
    graph.finish(layer, "Conv", [x, *_parameters(graph, layer, weight)], "channels_first", **attributes)


def _depthwise_conv2d(graph: Graph, layer: Layer) -> None:
    weight = layer.params["weight"].transpose(2, 0, 1)[:, None]  # (KH, KW, C_out) -> (C_out, 1, KH, KW)
    x = graph.read(layer.inputs[0], "channels_first")
    channels = graph.shape(layer.inputs[0])[-1]
    inputs = [x, *_parameters(graph, layer, weight)]
    graph.finish(layer, "Conv", inputs, "channels_first", group=channels, **_window(record(layer, DepthwiseConv2d)))


def _conv1d(graph: Graph, layer: Layer) -> None:
    weight = layer.params["weight"].transpose(0, 2, 1)  # (C_out, K, C_in) -> (C_out, C_in, K)
    x = graph.read(layer.inputs[0], "channels_first")
    op = record(layer, Conv1d)
    window: dict[str, Any] = {"kernel_shape": [op.kernel], "strides": [op.stride], "pads": [op.pad_left, op.pad_right]}
    graph.finish(layer, "Conv", [x, *_parameters(graph, layer, weight)], "channels_first", **window)


def _average_pool2d(graph: Graph, layer: Layer) -> None:
    x = graph.read(layer.inputs[0], "channels_first")
    graph.finish(layer, "AveragePool", [x], "channels_first", count_include_pad=0, **_window(record(layer, Pool2d)))


def _max_pool2d(graph: Graph, layer: Layer) -> None:
    graph.finish(layer, "MaxPool", [graph.read(layer.inputs[0], "channels_first")], "channels_first", **_window(record(layer, Pool2d)))


def _global_average_pool(graph: Graph, layer: Layer) -> None:
    graph.pooled(layer, "GlobalAveragePool", layer.inputs[0])


def _add(graph: Graph, layer: Layer) -> None:
    layout = graph.elementwise(layer.inputs)
    graph.finish(layer, "Add", [graph.read(name, layout) for name in layer.inputs], layout)


def _relu(graph: Graph, layer: Layer) -> None:
    """A layer of its own: the operator is the activation."""
    layout = graph.elementwise(layer.inputs)
    x = graph.read(layer.inputs[0], layout)
    function = record(layer, Relu).function
    graph.finish(layer, function.onnx, [x, *graph.limits(function)], layout, alone=True)


def _requantise(graph: Graph, layer: Layer) -> None:
    layout = graph.elementwise(layer.inputs)
    graph.finish(layer, "Identity", [graph.read(layer.inputs[0], layout)], layout)


def _reshape(graph: Graph, layer: Layer) -> None:
    sizes = graph.constant(f"{layer.name}.shape", np.array([0, *layer.shape], np.int64))
    graph.move(layer, "Reshape", (layer.inputs[0], "plain"), (sizes,))


def _transpose(graph: Graph, layer: Layer) -> None:
    perm = [0, *(axis + 1 for axis in record(layer, Transpose).axes)]
    graph.move(layer, "Transpose", (layer.inputs[0], "plain"), perm=perm)


def _softmax(graph: Graph, layer: Layer) -> None:
    graph.finish(layer, "Softmax", [graph.read(layer.inputs[0])], axis=-1)


def _normalise(graph: Graph, layer: Layer) -> None:
    x = graph.read(layer.inputs[0])
    square = graph.step("Mul", [x, x], f"{layer.name}.square")
    axes = list(range(1, len(layer.shape) + 1)) if len(layer.shape) > 1 else [-1]
    mean = graph.step("ReduceMean", [square], f"{layer.name}.mean", axes=axes, keepdims=1)
    root = graph.step("Sqrt", [mean], f"{layer.name}.root")
    eps = graph.constant(f"{layer.name}.eps", np.array(record(layer, Normalise).eps, np.float32))
    graph.finish(layer, "Div", [x, graph.step("Add", [root, eps], f"{layer.name}.divisor")])


def _standardise(graph: Graph, layer: Layer) -> None:
    ones = graph.constant(f"{layer.name}.ones", np.ones(layer.shape, np.float32))
    graph.finish(layer, "LayerNormalization", [graph.read(layer.inputs[0]), ones], axis=1, epsilon=record(layer, Standardise).eps)


def _label(graph: Graph, layer: Layer) -> None:
    op = record(layer, Label)
    value = graph.constant(f"{layer.name}.neutral", np.array(op.neutral, np.float32))
    axes = len(layer.shape)
    pads = graph.constant(f"{layer.name}.pads", np.array([*[0] * axes, op.classes, *[0] * (axes + 1)], np.int64))
    graph.finish(layer, "Pad", [graph.read(layer.inputs[0], "flat" if axes == 1 else "plain"), pads, value], mode="constant")


FORMS: dict[str, Callable[[Graph, Layer], None]] = {
    "add": _add,
    "average_pool2d": _average_pool2d,
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "dense": _dense,
    "depthwise_conv2d": _depthwise_conv2d,
    "global_average_pool": _global_average_pool,
    "label": _label,
    "max_pool2d": _max_pool2d,
    "normalise": _normalise,
    "relu": _relu,
    "requantise": _requantise,
    "reshape": _reshape,
    "softmax": _softmax,
    "standardise": _standardise,
    "transpose": _transpose,
}
