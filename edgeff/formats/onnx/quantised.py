"""ONNX scales: QuantizeLinear and DequantizeLinear around float operators, and the common part of operators with their own scales.

Those are QLinearConv and QLinearMatMul, and of the domain com.microsoft QGemm, QLinearAdd, QLinearAveragePool, QLinearGlobalAveragePool and
QLinearSoftmax; each is read beside the operator it becomes. uint8 tensors with zero point z become int8 with z - 128, which are the same
numbers. A weight's zero points are subtracted from it, which may leave int8 (see ``Weighted.wide``). A bias without scales of its own has
those of the products. Refused: several zero points of an activation, blocks of scales.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, constant, flag, number, optional, present, real, whole
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import SCALE_BYTES, Constant, Node
from edgeff.ir import Array, Quant
from edgeff.ops.requantise import Requantise

MICROSOFT = "com.microsoft"
Pair = tuple[Seen | None, Seen | None]
"""A scale and a zero point, or None for none."""


def quantised(graph: Reading, node: Node, x: View, quant: Quant) -> View:
    """``x`` as integers, by a separate layer if it already has another scale."""
    y = x.x
    if y.quant is None:
        fixed = graph.assembly.unscaled(node, y, quant)
        if fixed is not None:  # TFLite's integers have one scale alone
            place = graph.views.beside(node, "fixed")
            y = replace(graph.assembly.quantise(place, y, fixed), integer=False)
            return x.like(graph.assembly.requantise(node, y, quant))
    if y.quant is not None and (y.quant != quant or graph.described.get(node.name) == Requantise.name):
        return x.like(graph.assembly.requantise(node, y, quant))
    return x.like(graph.assembly.quantise(node, y, quant))


def _quantize_linear(graph: Reading, node: Node, values: Values) -> Seen:
    return quantised(graph, node, real(node, values[0]), activation_quant(graph, node, (values[1], values[2])))


def _dequantize_linear(graph: Reading, node: Node, values: Values) -> Seen:
    x = present(node, values[0])
    if isinstance(x, View):
        return dequantised(graph, node, x, (values[1], values[2]))
    value = constant(node, x, "tensor")
    if value.quant is not None or value.array.dtype not in (np.int8, np.uint8, np.int32):
        raise node.unsupported("a tensor that cannot be dequantised", "a constant of int8, uint8 or int32")
    return _scaled(graph, node, value, (values[1], values[2]), whole(node, "axis", 1))


def dequantised(graph: Reading, node: Node, x: Seen | None, scales: Pair) -> View:
    """``x``, integers with ``scales``, as float."""
    tensor = activation(node, x)
    return tensor.like(graph.assembly.dequantise(node, tensor.x, activation_quant(graph, node, scales)))


def pair_of(graph: Reading, node: Node, values: Values) -> Values:
    """The two inputs of an operator whose inputs are a, its scale and zero point, then those of c: activations as float, constants with
    their scales.
    """
    sides: Values = []
    for place in (0, 3):
        value, scales = values[place], (values[place + 1], values[place + 2])
        if isinstance(value, Constant):
            sides.append(replace(_scaled(graph, node, value, scales, 0), name=value.name))
        else:
            sides.append(dequantised(graph, node, value, scales))
    return sides


def _scaled(graph: Reading, node: Node, value: Constant, scales: Pair, axis: int) -> Constant:
    """A constant of integers with its scales, int8 instead of uint8; int16 less its zero points where it has several."""
    array = value.array
    quant = _quant(graph, node, scales, array.dtype, array.shape, axis)
    zeros = np.zeros(1, np.uint8) if scales[1] is None else constant(node, scales[1], "zero point").array
    if np.any(zeros != zeros.flat[0]):
        along = [1] * array.ndim
        along[quant.axis or 0] = zeros.size
        graph.assembly.charge(2 * array.size)
        return Constant(array.astype(np.int16) - zeros.astype(np.int16).reshape(along), replace(quant, zero_point=0))
    if array.dtype != np.uint8:
        return Constant(array, quant)
    graph.assembly.charge(array.size)
    return Constant((array ^ np.uint8(128)).view(np.int8), quant)


def activation_quant(graph: Reading, node: Node, scales: Pair) -> Quant:
    """The scale and zero point of an activation."""
    return _quant(graph, node, scales, np.dtype(np.uint8), None, 0)


def _quant(graph: Reading, node: Node, scales: Pair, dtype: np.dtype[Any], shape: tuple[int, ...] | None, axis: int) -> Quant:
    """The scales of a constant of ``shape`` (None: of an activation) as a Quant of int8 or int32; ``dtype`` is its type if no zero point
    gives it, ``axis`` the axis of several scales.
    """
    scale = constant(node, scales[0], "scale").array
    graph.assembly.charge(SCALE_BYTES * scale.size)
    zeros = np.zeros((), dtype) if scales[1] is None else constant(node, scales[1], "zero point").array
    if scale.dtype != np.float32 or scale.ndim > 1 or not scale.size or (zeros.shape != scale.shape and zeros.size != 1):
        raise node.unsupported(f"scales {scale.dtype} {scale.shape}, zero points {zeros.shape}", "float32, one or one for each channel")
    allowed = (np.int8, np.uint8) if shape is None else (dtype,)
    several = bool(np.any(zeros != zeros.flat[0])) and (scale.size == 1 or dtype not in (np.int8, np.uint8))
    if zeros.dtype not in allowed or several:
        raise node.unsupported(
            f"zero points of type {zeros.dtype}, {zeros.min()} to {zeros.max()}", "one zero point, int8 or uint8 (int32 for a bias)"
        )
    kind = number(node, "output_dtype", 0)
    if number(node, "block_size", 0) or kind not in (0, onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        raise node.unsupported("blocks of scales or another output type", "int8 and uint8")
    zero_point, stored = int(zeros.flat[0]) - (128 if zeros.dtype == np.uint8 else 0), "int32" if zeros.dtype == np.int32 else "int8"
    if scale.size == 1:
        return Quant((float(scale.flat[0]),), zero_point, dtype=stored)
    sizes = shape or ()
    axis += len(sizes) if axis < 0 else 0
    if not 0 <= axis < max(len(sizes), 1) or sizes[axis : axis + 1] != scale.shape:
        raise node.unsupported(
            f"{scale.size} scales along axis {axis} of {sizes or 'an activation'}", "one scale, or one for each channel of a weight"
        )
    return Quant(tuple(scale.tolist()), zero_point, axis, stored)


def weight_of(graph: Reading, node: Node, value: Seen | None, scales: Pair, axis: int, least: int = -127) -> Constant:
    """An int8 or uint8 weight with its scales, which lie along ``axis``, as ``weight`` gives it."""
    integers = constant(node, value, "weight")
    if integers.quant is not None or integers.array.dtype not in (np.int8, np.uint8):
        raise node.unsupported(f"a weight of type {integers.array.dtype}", "int8, uint8")
    return weight(graph, node, _scaled(graph, node, integers, scales, axis), least)


def weight(graph: Reading, node: Node, value: Seen | None, least: int = -127) -> Constant:
    """A weight of the file: float32, or with scales int8 and zero point 0 if its integers less their zero points are ``least`` to 127, else
    int16.
    """
    found = constant(node, value, "weight")
    if found.quant is None or found.array.dtype not in (np.int8, np.int16) or not found.array.size:
        return found
    graph.assembly.charge(2 * found.array.size)
    wide = found.array.astype(np.int16) - np.int16(found.quant.zero_point)
    fits = least <= wide.min() and wide.max() <= 127
    return replace(found, array=wide.astype(np.int8) if fits else wide, quant=replace(found.quant, zero_point=0))


def bias_of(graph: Reading, node: Node, value: Seen | None, x: View, weight: Constant) -> Constant | None:
    """An int32 bias with the scales of the products."""
    bias = optional(node, value, "bias")
    if bias is None or x.x.quant is None or weight.quant is None:
        return None
    if bias.quant is not None or bias.array.dtype != np.int32 or bias.array.ndim > 1:
        raise node.unsupported(f"a bias of {bias.array.dtype} {bias.array.shape}", "int32, one value for each output")
    products: Array = x.x.quant.scales() * weight.quant.scales()
    graph.assembly.charge(SCALE_BYTES * products.size)
    return replace(bias, quant=Quant(tuple(products.tolist()), 0, None if weight.quant.axis is None else 0, "int32"))


def first(graph: Reading, node: Node, x: View) -> View:
    """The input of a pool, channels first, whatever its attribute ``channels_last`` says."""
    rank = len(x.shape or ())
    if not flag(node, "channels_last") or not rank:
        return x
    return graph.views.transposed(graph.views.beside(node, "transpose"), x, (rank - 1, *range(rank - 1)))


def last(graph: Reading, node: Node, y: View) -> View:
    """The output of a pool, channels first, as its attribute ``channels_last`` says."""
    rank = len(y.shape or ())
    if not flag(node, "channels_last") or not rank:
        return y
    return graph.views.transposed(graph.views.beside(node, "back"), y, (*range(1, rank), 0))


_QUANT = frozenset({"axis", "saturate", "block_size", "output_dtype", "precision"})
READERS = {
    "DequantizeLinear": Handler(_dequantize_linear, (2, 3), _QUANT),
    "QuantizeLinear": Handler(_quantize_linear, (2, 3), _QUANT),
}
