"""Windows over TFLite images: strides, padding and dilation, and the options of the operators that have a window.

SAME padding becomes numbers here, from the size the operator reads, and a dilation zeros between the taps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from edgeff.errors import Unsupported, short
from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.values import Activation, Constant, Node, Value
from edgeff.formats.windows import Pads, Pair
from edgeff.ir import Layer, Quant
from edgeff.ops import record
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.window import Windowed
from edgeff.ops.window_math import same_padding

Beyond = Literal["zeros", "lowest"] | None
_PADDINGS = names_of(schema.Padding)


def stride_and_pads(node: Node, x: Activation, size: Pair) -> tuple[Pair, Pads]:
    """The strides and the padding in numbers of a window of ``size`` over ``x``."""
    stride = int(node.attributes.get("stride_h", 0)), int(node.attributes.get("stride_w", 0))
    if x.shape is None or len(x.shape) != 3:
        raise node.unsupported(f"an input of shape {x.shape}, without the batch axis", "(H, W, C)")
    if min(*stride, *size) < 1:
        raise node.bad(f"a window of {size[0]}x{size[1]} by strides of {stride[0]}x{stride[1]}", "1 or more")
    padding = node.attributes.get("padding", "SAME")
    if padding == "VALID":
        return stride, (0, 0, 0, 0)
    if padding != "SAME":
        raise node.unsupported(f"padding {padding}", "SAME, VALID")
    (top, bottom), (left, right) = (same_padding(x.shape[axis], size[axis], stride[axis]) for axis in (0, 1))
    return stride, (top, left, bottom, right)


def dilated(assembly: Assembly, node: Node, weight: Constant) -> Constant:
    """A weight (.., KH, KW, ..) with the zeros of the node's dilation between its taps."""
    return assembly.spread(node, weight, 1, [int(node.attributes.get(name, 1)) for name in ("dilation_h", "dilation_w")])


def pool(operator: type[Pool2d]) -> Handler:
    """How to read a pool: an average or a maximum."""

    def read(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
        x = node.activation(values[0])
        size = int(node.attributes.get("filter_height", 0)), int(node.attributes.get("filter_width", 0))
        stride, pads = stride_and_pads(node, x, size)
        return fused(assembly, node, assembly.pool2d(node, operator, x, size, stride, pads))

    return Handler(read, (1, 1), schema.BuiltinOptions.Pool2DOptions, _pool_options)


def window_options(table: Table) -> dict[str, Any]:
    """The padding and strides of a window as attributes."""
    number = int(table.number(0, "int8"))
    return {
        "padding": _PADDINGS.get(number, number),
        "stride_w": int(table.number(1, "int32")),
        "stride_h": int(table.number(2, "int32")),
    }


def _pool_options(table: Table) -> dict[str, Any]:
    size = {"filter_width": int(table.number(3, "int32")), "filter_height": int(table.number(4, "int32"))}
    return window_options(table) | size | fused_option(table, 5)


def windowed(graph: Graph, layer: Layer, x: int, shape: tuple[int, ...], beyond: Beyond = "zeros") -> tuple[int, dict[str, Any]]:
    """The tensor that a window over ``x`` of ``shape`` reads, padded if TFLite cannot express the padding, and the window's options.

    ``beyond`` is what the padding holds: zeros, the lowest number of the type, or something that no tensor can hold (None), which is
    refused.
    """
    op = record(layer, Windowed)
    around, size, step = op.pads, op.window, op.stride
    (top, bottom), (left, right) = (same_padding(shape[axis], size[axis], step[axis]) for axis in (0, 1))
    options = {"strideH": step[0], "strideW": step[1], **graph.fused(layer), "padding": schema.Padding.VALID}
    if not any(around):
        return x, options
    if around == (top, left, bottom, right):
        return x, options | {"padding": schema.Padding.SAME}
    if beyond is None:
        raise Unsupported(
            f"layer {short(layer.name)}, {layer.kind}",
            got=f"padding {around} (top, left, bottom, right)",
            allowed=f"{(top, left, bottom, right)} or none in TFLite files",
            next_step="write it as ONNX or C",
        )
    quant = graph.quants[layer.inputs[0]]
    padded = graph.between(layer, "padded", (shape[0] + around[0] + around[2], shape[1] + around[1] + around[3], shape[2]), quant)
    rows = [[0, 0], [around[0], around[2]], [around[1], around[3]], [0, 0]]
    inputs = [x, graph.constant(f"{layer.name}.pads", np.array(rows, np.int32))]
    if beyond == "zeros":
        return graph.operator("PAD", inputs, padded, "PadOptions"), options
    least = np.finfo(np.float32).min if quant is None else np.iinfo(quant.dtype).min
    lowest = np.array([least], "float32" if quant is None else quant.dtype)
    inputs.append(graph.constant(f"{layer.name}.lowest", lowest, quant))
    return graph.operator("PADV2", inputs, padded, "PadV2Options"), options


def with_bias(layer: Layer, x: Quant | None) -> Layer:
    """``layer``, with a bias of zeros if it has none. The description records that it has none.

    LiteRT does not run a CONV_2D without one, and its optimised DEPTHWISE_CONV_2D aborts the process.
    """
    if "bias" in layer.params:
        return layer
    weight, channels = layer.quant.get("weight"), layer.shape[-1]
    kind = "float32" if weight is None or x is None else {"int8": "int32", "int16": "int64"}[x.dtype]
    bias, quant = np.zeros(channels, kind), dict(layer.quant)
    if weight is not None and x is not None:
        products = x.scales() * weight.scales()
        quant["bias"] = Quant(tuple(products.tolist()), 0, 0 if weight.per_channel else None, kind)
    return replace(layer, params=dict(layer.params) | {"bias": bias}, quant=quant)


def write_pool(graph: Graph, layer: Layer, operator: str, beyond: Beyond) -> None:
    """Adds a pool; ``beyond`` as for ``windowed``."""
    x, options = windowed(graph, layer, graph.source(layer), graph.shapes[layer.inputs[0]], beyond)
    options["filterHeight"], options["filterWidth"] = record(layer, Pool2d).window
    graph.operator(operator, [x], graph.output(layer), "Pool2DOptions", **options)
