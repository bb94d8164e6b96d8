"""What the TFLite operators over images mean: convolutions, pools, means and zero padding.

SAME padding becomes numbers here, from the size the operator reads. Dilations other than 1 are refused, and so are fused activations other
than RELU and RELU6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.operators import Handler, Tensor, Values, fused, fused_option, operands
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.values import Activation, Constant, Moment, Node, Value
from edgeff.formats.windows import Pads, Pair
from edgeff.ir import Array
from edgeff.ops.windows import same_padding

_PADDINGS = names_of(schema.Padding)


def _stride_and_pads(node: Node, x: Activation, size: Pair) -> tuple[Pair, Pads]:
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


def _undilated(node: Node, kernel: Pair) -> None:
    for axis, name in enumerate(("dilation_h", "dilation_w")):
        if node.attributes.get(name, 1) != 1 and kernel[axis] > 1:
            raise node.unsupported(f"{name} of {node.attributes[name]}", "dilation 1")


def _conv2d(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x, weight, bias = operands(assembly, node, values)
    if weight.array.ndim != 4:
        raise node.bad(f"a weight of shape {weight.array.shape}", "(C_out, KH, KW, C_in)")
    kernel = weight.array.shape[1], weight.array.shape[2]
    _undilated(node, kernel)
    stride, pads = _stride_and_pads(node, x, kernel)
    return fused(assembly, node, assembly.conv2d(node, x, weight, bias, stride, pads))


def _depthwise_conv2d(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x, weight, bias = operands(assembly, node, values)
    if weight.array.ndim != 4 or weight.array.shape[0] != 1:
        raise node.bad(f"a weight of shape {weight.array.shape}", "(1, KH, KW, C_out)")
    kernel = weight.array.shape[1], weight.array.shape[2]
    _undilated(node, kernel)
    stride, pads = _stride_and_pads(node, x, kernel)
    channels, said = x.shape[2] if x.shape else 1, int(node.attributes.get("depth_multiplier", 0))
    multiplier = weight.array.shape[3] // channels
    if said not in (0, multiplier):
        raise node.bad(f"depth multiplier {said} for {channels} channels and a weight of {weight.array.shape}", multiplier)
    quant = weight.quant
    plain = Constant(weight.array[0], quant if quant is None or quant.axis is None else replace(quant, axis=quant.axis - 1))
    return fused(assembly, node, assembly.depthwise_conv2d(node, x, plain, bias, stride, pads, multiplier))


def _pool(kind: str) -> Any:
    def read(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
        x = node.activation(values[0])
        size = int(node.attributes.get("filter_height", 0)), int(node.attributes.get("filter_width", 0))
        stride, pads = _stride_and_pads(node, x, size)
        return fused(assembly, node, assembly.pool2d(node, kind, x, size, stride, pads))

    return read


def _mean(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    constant, keep = node.constant(values[1], "axis").array, bool(node.attributes.get("keep_dims"))
    if isinstance(values[0], Moment):
        if not values[0].over_all(constant.reshape(-1)[:8].tolist()) or not keep:
            raise node.unsupported("a mean over other axes", "all axes but the batch, kept")
        return assembly.step(node, values[0], "square", "mean")
    x = node.activation(values[0])
    rank = 1 + len(x.shape or ())
    axes = sorted({axis % rank for axis in constant.reshape(-1)[:8].tolist() if -rank <= axis < rank})
    if x.shape is None or (rank, axes) not in ((4, [1, 2]), (3, [1])) or constant.dtype != np.int32 or constant.size != len(axes):
        raise node.unsupported(
            f"a mean of {x.shape} over axes {constant.reshape(-1)[:8].tolist()}",
            "axes 1 and 2 of (batch, H, W, C), axis 1 of (batch, L, C)",
        )
    if rank == 3:
        x = assembly.reshape(Node(f"{node.name}_image", "", {}, ()), x, (x.shape[0], 1, x.shape[1]))
    return assembly.global_average_pool(node, x)


def _pad(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    constant = node.constant(values[1], "pads").array
    x, pads = node.activation(values[0]), constant.reshape(-1)[:16].tolist()
    rank = 1 + len(x.shape or ())
    if constant.shape != (rank, 2) or constant.dtype not in (np.int32, np.int64) or rank > 8:
        raise node.bad(f"pads {constant.dtype} {constant.shape} for an input of {rank} axes", f"int32 ({rank}, 2)")
    if (rank == 2 or node.name in assembly.described) and not any(pads[:-2]):
        return assembly.label(node, node.real(x), pads[-2], pads[-1], 0.0 if values[2] is None else node.scalar(values[2], "padding"))
    if rank not in (3, 4) or any(pads[:2] + pads[-2:]):
        raise node.unsupported(f"pads {pads}", "zeros around (H, W) of (batch, H, W, C) or L of (batch, L, C)")
    lowest = values[2] is not None and _is_lowest(node, x, node.constant(values[2], "padding").array)
    return assembly.pad(node, x, (*pads[2:-2:2], *pads[3:-2:2]), lowest=lowest)


def _is_lowest(node: Node, x: Activation, value: Array) -> bool:
    """Whether the padding is the lowest number of its type; if not, it must be zero, in int8 the zero point."""
    zero, lowest = (x.quant.zero_point, -128) if x.integer and x.quant is not None else (0, np.finfo(np.float32).min)
    if value.size != 1 or value.dtype != ("int8" if x.integer else "float32") or value.reshape(-1)[0] not in (zero, lowest):
        raise node.unsupported(f"a padding of {value.dtype} {value.reshape(-1)[:4].tolist()}", f"zeros (here {zero}) or {lowest}")
    return bool(value.reshape(-1)[0] != zero)


def _window_options(table: Table) -> dict[str, Any]:
    number = int(table.number(0, "int8"))
    return {
        "padding": _PADDINGS.get(number, number),
        "stride_w": int(table.number(1, "int32")),
        "stride_h": int(table.number(2, "int32")),
    }


def _conv_options(table: Table) -> dict[str, Any]:
    dilation = {"dilation_w": int(table.number(4, "int32", 1)), "dilation_h": int(table.number(5, "int32", 1))}
    return _window_options(table) | fused_option(table, 3) | dilation


def _depthwise_options(table: Table) -> dict[str, Any]:
    dilation = {"dilation_w": int(table.number(5, "int32", 1)), "dilation_h": int(table.number(6, "int32", 1))}
    return _window_options(table) | {"depth_multiplier": int(table.number(3, "int32"))} | fused_option(table, 4) | dilation


def _pool_options(table: Table) -> dict[str, Any]:
    size = {"filter_width": int(table.number(3, "int32")), "filter_height": int(table.number(4, "int32"))}
    return _window_options(table) | size | fused_option(table, 5)


_TYPES = schema.BuiltinOptions
HANDLERS = {
    "AVERAGE_POOL_2D": Handler(_pool("average"), (1, 1), _TYPES.Pool2DOptions, _pool_options),
    "CONV_2D": Handler(_conv2d, (2, 3), _TYPES.Conv2DOptions, _conv_options),
    "DEPTHWISE_CONV_2D": Handler(_depthwise_conv2d, (2, 3), _TYPES.DepthwiseConv2DOptions, _depthwise_options),
    "MAX_POOL_2D": Handler(_pool("max"), (1, 1), _TYPES.Pool2DOptions, _pool_options),
    "MEAN": Handler(_mean, (2, 2), _TYPES.ReducerOptions, lambda table: {"keep_dims": bool(table.number(0, "bool"))}),
    "PAD": Handler(lambda assembly, node, values, output: _pad(assembly, node, [*values, None], output), (2, 2), _TYPES.PadOptions),
    "PADV2": Handler(_pad, (3, 3), _TYPES.PadV2Options),
}
