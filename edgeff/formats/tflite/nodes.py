"""What each TFLite operator means for the Network being put together: one small function an operator, and the table of them.

A function gets the values its operator reads (None for an absent optional input) and the tensor it makes, and returns the value. The
caller then gives the result the shape of its tensor and an int8 result its scale. Operators over images are in ``tflite_images``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite import images as tflite_images
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.operators import Handler, Tensor, Values, dequantised, fused, fused_option, only_fused, operands
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Moment, Node, Value

_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _fully_connected(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    if node.attributes.get("weights_format"):
        raise node.unsupported("shuffled weights", "weights_format 0")
    x, weight, bias = operands(assembly, node, values)
    if weight.array.ndim != 2 or output.shape[-1:] != weight.array.shape[:1]:
        raise node.bad(f"an output of shape {output.shape}", f"(batch, n_out) for a weight of shape {weight.array.shape}")
    return fused(assembly, node, assembly.dense(node, x, weight, bias))


def _relu(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    return assembly.relu(node, node.activation(values[0]), "relu")


def _relu6(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x = node.activation(values[0])
    if x.integer and output.quant != x.quant:
        raise node.unsupported("a RELU6 that changes the scale, which TFLM and LiteRT read differently", "one scale, a QUANTIZE before it")
    return assembly.relu(node, x, "relu6")


def _softmax(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    if node.attributes.get("beta", 0.0) != 1.0:
        raise node.unsupported("a beta other than 1", "beta 1")
    return assembly.softmax(node, node.activation(values[0]))


def _reshape(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    if len(output.shape) < 2:
        raise node.unsupported(f"a reshape to {output.shape}", "the batch axis kept")
    if node.operator == "RESHAPE" and values[1] is not None:
        sizes = node.constant(values[1], "shape").array.reshape(-1)[:8].tolist()
        if len(sizes) != len(output.shape) or any(size not in (-1, there) for size, there in zip(sizes[1:], output.shape[1:], strict=True)):
            raise node.bad(f"a shape of {sizes} for an output of {output.shape}", "the same sizes, or -1")
    return assembly.reshape(node, node.activation(values[0]), output.shape[1:])


def _shape(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    """The shape of an activation, batch 1, as a constant: what converters compute a RESHAPE from."""
    return Constant(np.array((1, *(node.activation(values[0]).shape or ())), np.int32))


def _strided_slice(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    """One element or a run of a constant vector."""
    vector, begin, end, step = (node.constant(value, "vector").array for value in values)
    masks = dict.fromkeys(_MASKS, 0) | dict(node.attributes)
    if vector.ndim != 1 or any(array.shape != (1,) or array.dtype != np.int32 for array in (begin, end, step)) or step[0] != 1:
        raise node.unsupported("a slice of anything but a constant vector", "sizes of a RESHAPE")
    if masks["ellipsis_mask"] or masks["new_axis_mask"] or any(mask not in (0, 1) for mask in masks.values()):
        raise node.unsupported("masks of more than one axis", "begin, end and shrink of the one axis")
    first = 0 if masks["begin_mask"] else int(begin[0])
    if masks["shrink_axis_mask"]:
        if not -vector.size <= first < vector.size:
            raise node.bad(f"element {first} of {vector.size}", "one that is there")
        return Constant(vector[first].reshape(()))
    return Constant(vector[first : None if masks["end_mask"] else int(end[0])])


def _pack(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    """Constant numbers as a vector."""
    numbers = [node.constant(value, "number").array for value in values if value is not None]
    if not numbers or any(number.shape != () or number.dtype != np.int32 for number in numbers) or node.attributes.get("axis"):
        raise node.unsupported("a pack of anything but constant numbers", "sizes of a RESHAPE")
    return Constant(np.array(numbers, np.int32))


def _transpose(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x, perm = node.activation(values[0]), node.constant(values[1], "order of axes").array
    if perm.dtype != np.int32 or perm.shape != (1 + len(x.shape or ()),) or perm[0] != 0:
        raise node.unsupported(f"the order of axes {perm.dtype} {perm.reshape(-1)[:8].tolist()}", "each axis once, the batch first")
    return assembly.transpose(node, x, tuple(axis - 1 for axis in perm[1:].tolist()))


def _quantize(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    x = node.activation(values[0])
    if x.integer and x.quant is not None and output.quant is not None and output.dtype == "int8":
        return assembly.requantise(node, x, output.quant)
    return x


def _dequantize(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    if isinstance(values[0], Constant):
        return dequantised(assembly, node, values[0])
    x = node.activation(values[0])
    if x.quant is None or not x.integer:
        raise node.bad("a float tensor to dequantise", "int8")
    return assembly.dequantise(node, x, x.quant)


def _mul(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if not isinstance(second, Constant):
        only_fused(node, "NONE")
        return assembly.square(node, node.real(first), node.real(second))
    return fused(assembly, node, assembly.affine(node, _float(node, first), _channels(node, second), np.zeros(1)))


def _sqrt(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    return assembly.step(node, node.present(values[0]), "mean", "root")


def _add(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        only_fused(node, "NONE")
        return assembly.step(node, first, "root", "divisor", node.scalar(second, "eps"))
    if isinstance(second, Constant):
        return fused(assembly, node, assembly.affine(node, _float(node, first), np.ones(1), _channels(node, second)))
    return fused(assembly, node, assembly.add(node, node.activation(first), node.activation(second)))


def _float(node: Node, value: Value | None) -> Activation:
    """``value``, which a constant is added to or multiplied with."""
    x = node.activation(value)
    if x.quant is not None:
        raise node.unsupported("arithmetic with a constant in int8", "two activations, or float32")
    return x


def _channels(node: Node, constant: Constant) -> np.ndarray[Any, Any]:
    """A float32 constant with one number, or one for each channel, as a vector."""
    array = constant.array
    if array.dtype != np.float32 or (array.size != 1 and array.shape[-1:] != (array.size,)):
        raise node.unsupported(f"a constant of {array.dtype} {array.shape}", "float32, one number or one for each channel")
    return array.reshape(-1)


def _div(assembly: Assembly, node: Node, values: Values, output: Tensor) -> Value:
    only_fused(node, "NONE")
    return assembly.divide(node, node.real(values[0]), node.present(values[1]))


def _dense_options(table: Table) -> dict[str, Any]:
    return fused_option(table) | {"weights_format": int(table.number(1, "int8"))}


def _slice_options(table: Table) -> dict[str, Any]:
    return {name: int(table.number(slot, "int32")) for slot, name in enumerate(_MASKS)}


_TYPES = schema.BuiltinOptions
HANDLERS = tflite_images.HANDLERS | {
    "ADD": Handler(_add, (2, 2), _TYPES.AddOptions, fused_option),
    "DEQUANTIZE": Handler(_dequantize, (1, 1), _TYPES.DequantizeOptions),
    "DIV": Handler(_div, (2, 2), _TYPES.DivOptions, fused_option),
    "EXPAND_DIMS": Handler(_reshape, (2, 2), _TYPES.ExpandDimsOptions),
    "FULLY_CONNECTED": Handler(_fully_connected, (2, 3), _TYPES.FullyConnectedOptions, _dense_options),
    "MUL": Handler(_mul, (2, 2), _TYPES.MulOptions, fused_option),
    "PACK": Handler(_pack, (1, 8), _TYPES.PackOptions, lambda table: {"axis": int(table.number(1, "int32"))}),
    "QUANTIZE": Handler(_quantize, (1, 1), _TYPES.QuantizeOptions),
    "RELU": Handler(_relu, (1, 1), _TYPES.NONE),
    "RELU6": Handler(_relu6, (1, 1), _TYPES.NONE),
    "RESHAPE": Handler(_reshape, (1, 2), _TYPES.ReshapeOptions),
    "SHAPE": Handler(_shape, (1, 1), _TYPES.ShapeOptions),
    "SOFTMAX": Handler(_softmax, (1, 1), _TYPES.SoftmaxOptions, lambda table: {"beta": float(table.number(0, "float32"))}),
    "SQRT": Handler(_sqrt, (1, 1), _TYPES.NONE),
    "STRIDED_SLICE": Handler(_strided_slice, (4, 4), _TYPES.StridedSliceOptions, _slice_options),
    "SQUEEZE": Handler(_reshape, (1, 1), _TYPES.SqueezeOptions),
    "TRANSPOSE": Handler(_transpose, (2, 2), _TYPES.TransposeOptions),
}
