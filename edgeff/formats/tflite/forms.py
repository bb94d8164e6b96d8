"""The TFLite form of every layer kind: one function a kind, and the table of them.

A function adds the operators of a layer to a ``Graph``. What stands between a layer's tensors (padding, a flat view of an image) is called
after the layer and read back as part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.formats import conventions
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.schema import schema
from edgeff.ir import Layer, Quant
from edgeff.ops import kind, record
from edgeff.ops.activation import RELU
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.conv1d import Conv1d
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d
from edgeff.ops.label import Label
from edgeff.ops.max_pool2d import MaxPool2d
from edgeff.ops.normalise import Normalise
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.relu import Relu
from edgeff.ops.transpose import Transpose
from edgeff.ops.window import Windowed
from edgeff.ops.windows import same_padding


def _source(graph: Graph, layer: Layer) -> int:
    return graph.indices[layer.inputs[0]]


def _fused(layer: Layer) -> dict[str, Any]:
    return {"fusedActivationFunction": getattr(schema.ActivationFunctionType, kind(layer).function.tflite)}


def _dense(graph: Graph, layer: Layer) -> None:
    x, before = _source(graph, layer), layer.inputs[0]
    if len(graph.shapes[before]) > 1:
        x = graph.reshape(x, layer, "flat", (prod(graph.shapes[before]),), graph.quants[before])
    inputs = [x, *graph.parameters(layer), *([] if "bias" in layer.params else [-1])]
    graph.operator("FULLY_CONNECTED", inputs, graph.output(layer), "FullyConnectedOptions", version=4 if graph.int8 else 1, **_fused(layer))


def _windowed(graph: Graph, layer: Layer, x: int, shape: tuple[int, ...]) -> tuple[int, dict[str, Any]]:
    """The tensor that a window over ``x`` of ``shape`` reads, padded where TFLite has no word for the padding, and the window's options."""
    op = record(layer, Windowed)
    around, size, step = op.pads, op.window, op.stride
    (top, bottom), (left, right) = (same_padding(shape[axis], size[axis], step[axis]) for axis in (0, 1))
    options = {"strideH": step[0], "strideW": step[1], **_fused(layer), "padding": schema.Padding.VALID}
    if not any(around):
        return x, options
    if around == (top, left, bottom, right):
        return x, options | {"padding": schema.Padding.SAME}
    if isinstance(op, AveragePool2d):
        raise Unsupported(
            f"layer {conventions.short(layer.name)}, average_pool2d",
            got=f"padding {around} (top, left, bottom, right)",
            allowed=f"{(top, left, bottom, right)} or none in TFLite files",
            next_step="write it as ONNX or C",
        )
    quant = graph.quants[layer.inputs[0]]
    padded = graph.between(layer, "padded", (shape[0] + around[0] + around[2], shape[1] + around[1] + around[3], shape[2]), quant)
    rows = [[0, 0], [around[0], around[2]], [around[1], around[3]], [0, 0]]
    inputs = [x, graph.constant(f"{layer.name}.pads", np.array(rows, np.int32))]
    if not isinstance(op, MaxPool2d):
        return graph.operator("PAD", inputs, padded, "PadOptions"), options
    lowest = np.array([-128], np.int8) if graph.int8 else np.array([np.finfo(np.float32).min], np.float32)
    inputs.append(graph.constant(f"{layer.name}.lowest", lowest, quant))
    return graph.operator("PADV2", inputs, padded, "PadV2Options"), options


def _with_bias(layer: Layer, x: Quant | None) -> Layer:
    """``layer``, with a bias of zeros where it has none. The description tells that it is none.

    LiteRT runs no CONV_2D without one, and its optimised DEPTHWISE_CONV_2D ends the process there.
    """
    if "bias" in layer.params:
        return layer
    weight, channels = layer.quant.get("weight"), layer.shape[-1]
    bias = np.zeros(channels, np.float32 if weight is None else np.int32)
    quant = dict(layer.quant)
    if weight is not None and x is not None:
        products = x.scales() * weight.scales()
        quant["bias"] = Quant(tuple(products.tolist()), 0, 0 if weight.per_channel else None, "int32")
    return replace(layer, params=dict(layer.params) | {"bias": bias}, quant=quant)


def _conv2d(graph: Graph, layer: Layer) -> None:
    x, options = _windowed(graph, layer, _source(graph, layer), graph.shapes[layer.inputs[0]])
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    inputs = [x, *graph.parameters(_with_bias(layer, graph.quants[layer.inputs[0]]))]
    graph.operator("CONV_2D", inputs, graph.output(layer), "Conv2DOptions", version=3 if graph.int8 else 1, **options)


def _conv1d(graph: Graph, layer: Layer) -> None:
    before, image = layer.inputs[0], record(layer, Conv1d).as_image(layer)
    length, channels = graph.shapes[before]
    row = graph.reshape(_source(graph, layer), layer, "image", (1, length, channels), graph.quants[before])
    x, options = _windowed(graph, image, row, (1, length, channels))
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    made, inputs = graph.output(image), [x, *graph.parameters(_with_bias(image, graph.quants[before]))]
    graph.operator("CONV_2D", inputs, made, "Conv2DOptions", version=3 if graph.int8 else 1, **options)
    graph.indices[layer.name] = graph.reshape(made, layer, "sequence", layer.shape, layer.quant.get("output"))


def _depthwise_conv2d(graph: Graph, layer: Layer) -> None:
    """The weight gets a leading axis of 1, and its scales lie along axis 3."""
    x, options = _windowed(graph, layer, _source(graph, layer), graph.shapes[layer.inputs[0]])
    options |= {"dilationHFactor": 1, "dilationWFactor": 1, "depthMultiplier": record(layer, DepthwiseConv2d).multiplier}
    quant = {key: replace(q, axis=3) if key == "weight" and q.per_channel else q for key, q in layer.quant.items()}
    lifted = replace(layer, params=dict(layer.params) | {"weight": layer.params["weight"][None]}, quant=quant)
    inputs = [x, *graph.parameters(_with_bias(lifted, graph.quants[layer.inputs[0]]))]
    graph.operator("DEPTHWISE_CONV_2D", inputs, graph.output(layer), "DepthwiseConv2DOptions", version=3 if graph.int8 else 1, **options)


def _pool2d(graph: Graph, layer: Layer) -> None:
    x, options = _windowed(graph, layer, _source(graph, layer), graph.shapes[layer.inputs[0]])
    options["filterHeight"], options["filterWidth"] = record(layer, Pool2d).window
    name = "MAX_POOL_2D" if isinstance(layer.op, MaxPool2d) else "AVERAGE_POOL_2D"
    graph.operator(name, [x], graph.output(layer), "Pool2DOptions", **options)


def _global_average_pool(graph: Graph, layer: Layer) -> None:
    over = graph.constant(f"{layer.name}.axes", np.array([1, 2], np.int32))
    graph.operator("MEAN", [_source(graph, layer), over], graph.output(layer), "ReducerOptions", keepDims=False)


def _add(graph: Graph, layer: Layer) -> None:
    graph.operator("ADD", [graph.indices[name] for name in layer.inputs], graph.output(layer), "AddOptions", **_fused(layer))


def _relu(graph: Graph, layer: Layer) -> None:
    """int8: TFLM's RELU changes the scale, its RELU6 does not, so that a QUANTIZE does it before (rounding once, as one layer would)."""
    x, quant = _source(graph, layer), layer.quant.get("output")
    function = record(layer, Relu).function
    if function is not RELU and quant != graph.quants[layer.inputs[0]]:
        x = graph.operator("QUANTIZE", [x], graph.between(layer, "rescaled", layer.shape, quant), "QuantizeOptions", version=1)
    graph.operator(function.tflite, [x], graph.output(layer))


def _requantise(graph: Graph, layer: Layer) -> None:
    """Nothing in float: the layer's tensor is its input's."""
    if graph.int8:
        graph.operator("QUANTIZE", [_source(graph, layer)], graph.output(layer), "QuantizeOptions", version=1)
    else:
        graph.indices[layer.name] = _source(graph, layer)


def _reshape(graph: Graph, layer: Layer) -> None:
    graph.reshaped(_source(graph, layer), graph.output(layer), f"{layer.name}.shape", layer.shape)


def _transpose(graph: Graph, layer: Layer) -> None:
    perm = graph.constant(f"{layer.name}.perm", np.array([0, *(axis + 1 for axis in record(layer, Transpose).axes)], np.int32))
    graph.operator("TRANSPOSE", [_source(graph, layer), perm], graph.output(layer), "TransposeOptions")


def _softmax(graph: Graph, layer: Layer) -> None:
    graph.operator("SOFTMAX", [_source(graph, layer)], graph.output(layer), "SoftmaxOptions", beta=1.0)


def _normalise(graph: Graph, layer: Layer) -> None:
    _float_only(layer)
    x = _source(graph, layer)
    square = graph.operator("MUL", [x, x], graph.between(layer, "square", layer.shape, None), "MulOptions")
    one = (1,) * len(layer.shape)
    axis = graph.constant(f"{layer.name}.axis", np.arange(1, len(one) + 1, dtype=np.int32))
    mean = graph.operator("MEAN", [square, axis], graph.between(layer, "mean", one, None), "ReducerOptions", keepDims=True)
    root = graph.operator("SQRT", [mean], graph.between(layer, "root", one, None))
    eps = graph.constant(f"{layer.name}.eps", np.array([record(layer, Normalise).eps], np.float32))
    divisor = graph.operator("ADD", [root, eps], graph.between(layer, "divisor", one, None), "AddOptions")
    graph.operator("DIV", [x, divisor], graph.output(layer), "DivOptions")


def _label(graph: Graph, layer: Layer) -> None:
    _float_only(layer)
    x, before = _source(graph, layer), graph.shapes[layer.inputs[0]]
    if len(before) > len(layer.shape):
        x = graph.reshape(x, layer, "flat", (prod(before),), graph.quants[layer.inputs[0]])
    rows = graph.constant(f"{layer.name}.pads", np.array([[0, 0]] * len(layer.shape) + [[record(layer, Label).classes, 0]], np.int32))
    value = graph.constant(f"{layer.name}.neutral", np.array([record(layer, Label).neutral], np.float32))
    graph.operator("PADV2", [x, rows, value], graph.output(layer), "PadV2Options")


def _standardise(_graph: Graph, layer: Layer) -> None:
    where = f"layer {conventions.short(layer.name)}, standardise"
    raise Unsupported(where, got="no operator of TFLite", allowed="other layers in TFLite files", next_step="write it as ONNX or C")


def _float_only(layer: Layer) -> None:
    if layer.quant:
        where = f"layer {conventions.short(layer.name)}, {layer.kind}"
        raise Unsupported(where, got="int8", allowed="float32 in TFLite files", next_step="write it as ONNX or C")


FORMS: dict[str, Callable[[Graph, Layer], None]] = {
    "add": _add,
    "average_pool2d": _pool2d,
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "dense": _dense,
    "depthwise_conv2d": _depthwise_conv2d,
    "global_average_pool": _global_average_pool,
    "label": _label,
    "max_pool2d": _pool2d,
    "normalise": _normalise,
    "relu": _relu,
    "requantise": _requantise,
    "reshape": _reshape,
    "softmax": _softmax,
    "standardise": _standardise,
    "transpose": _transpose,
}
