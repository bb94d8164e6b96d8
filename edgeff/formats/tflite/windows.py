"""Windows over TFLite images: strides, padding and dilation, and the options of the operators that have a window.

SAME padding becomes numbers here, from the size the operator reads. Dilations other than 1 are refused.
"""

from __future__ import annotations

from typing import Any

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.operators import Handler, Operator, Values, fused, fused_option
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.values import Activation, Node, Value
from edgeff.formats.windows import Pads, Pair
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.windows import same_padding

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


def check_undilated(node: Node, kernel: Pair) -> None:
    """Returns nothing; raises Unsupported where the taps of a window of size ``kernel`` are apart."""
    for axis, name in enumerate(("dilation_h", "dilation_w")):
        if node.attributes.get(name, 1) != 1 and kernel[axis] > 1:
            raise node.unsupported(f"{name} of {node.attributes[name]}", "dilation 1")


def pool(operator: type[Pool2d]) -> Handler:
    """How to read a pool: an average or a maximum."""

    def read(assembly: Assembly, node: Operator, values: Values) -> Value:
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
