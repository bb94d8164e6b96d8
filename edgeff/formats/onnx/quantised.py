"""ONNX operators of quantised graphs: QuantizeLinear and DequantizeLinear around float operators, and the operators that hold their own
scales (QLinearConv and QLinearMatMul; of the domain com.microsoft QGemm, QLinearAdd, QLinearAveragePool, QLinearGlobalAveragePool and
QLinearSoftmax).

uint8 tensors with zero point z become int8 with z - 128, which are the same numbers. A bias without scales of its own has those of the
products. Refused: zero points of weights other than 0, several zero points, blocks of scales.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import onnx

from edgeff.formats.conventions import MAX_ELEMENTS
from edgeff.formats.onnx.dense import dense, gemm, softmax, total
from edgeff.formats.onnx.images import WINDOW, convolution, global_average, pool, pool_window
from edgeff.formats.onnx.reading import Graph, Handler, Values, activation, constant, flag, number, optional, present, real
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import SCALE_BYTES, Constant, Node
from edgeff.ir import Array, Quant

MICROSOFT = "com.microsoft"
Pair = tuple[Seen | None, Seen | None]
"""A scale and a zero point, or None for none."""


def _quantise(graph: Graph, node: Node, x: View, quant: Quant) -> View:
    """``x`` as integers, by a layer of its own where it has another scale already."""
    y = x.x
    if y.quant is not None and (y.quant != quant or graph.described.get(node.name) == "requantise"):
        return x.like(graph.assembly.requantise(node, y, quant))
    return x.like(graph.assembly.quantise(node, y, quant))


def _quantize_linear(graph: Graph, node: Node, values: Values) -> Seen:
    return _quantise(graph, node, real(node, values[0]), _activation_quant(graph, node, (values[1], values[2])))


def _dequantize_linear(graph: Graph, node: Node, values: Values) -> Seen:
    x = present(node, values[0])
    if isinstance(x, View):
        return _float(graph, node, x, (values[1], values[2]))
    value = constant(node, x, "tensor")
    if value.quant is not None or value.array.dtype not in (np.int8, np.uint8, np.int32):
        raise node.unsupported("a tensor that cannot be dequantised", "a constant of int8, uint8 or int32")
    return _scaled(graph, node, value, (values[1], values[2]), int(number(node, "axis", 1)))


def _float(graph: Graph, node: Node, x: Seen | None, scales: Pair) -> View:
    """``x``, integers with ``scales``, as float."""
    seen = activation(node, x)
    return seen.like(graph.assembly.dequantise(node, seen.x, _activation_quant(graph, node, scales)))


def _scaled(graph: Graph, node: Node, value: Constant, scales: Pair, axis: int) -> Constant:
    """A constant of integers with its scales, int8 instead of uint8."""
    array = value.array
    quant = _quant(graph, node, scales, array.dtype, array.shape, axis)
    if array.dtype != np.uint8:
        return Constant(array, quant)
    graph.assembly.charge(array.size)
    return Constant((array ^ np.uint8(128)).view(np.int8), quant)


def _activation_quant(graph: Graph, node: Node, scales: Pair) -> Quant:
    return _quant(graph, node, scales, np.dtype(np.uint8), None, 0)


def _quant(graph: Graph, node: Node, scales: Pair, dtype: np.dtype[Any], shape: tuple[int, ...] | None, axis: int) -> Quant:
    """The scales of a constant of ``shape`` (None: of an activation) as a Quant of int8 or int32; ``dtype`` is its type where no zero point
    tells, ``axis`` where several scales lie.
    """
    scale = constant(node, scales[0], "scale").array
    graph.assembly.charge(SCALE_BYTES * scale.size)
    zeros = np.zeros((), dtype) if scales[1] is None else constant(node, scales[1], "zero point").array
    if scale.dtype != np.float32 or scale.ndim > 1 or not scale.size or (zeros.shape != scale.shape and zeros.size != 1):
        raise node.unsupported(f"scales {scale.dtype} {scale.shape}, zero points {zeros.shape}", "float32, one or one for each channel")
    allowed = (np.int8, np.uint8) if shape is None else (dtype,)
    if zeros.dtype not in allowed or np.any(zeros != zeros.flat[0]):
        raise node.unsupported(
            f"zero points of type {zeros.dtype}, {zeros.min()} to {zeros.max()}", "one zero point, int8 or uint8 (int32 for a bias)"
        )
    kind = number(node, "output_dtype", 0)
    if number(node, "block_size", 0) or kind not in (0, onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        raise node.unsupported("blocks of scales or another output type", "int8 and uint8")
    zero_point = int(zeros.flat[0]) - (128 if zeros.dtype == np.uint8 else 0)
    if scale.size == 1:
        return Quant((float(scale.flat[0]),), zero_point)
    sizes = shape or ()
    axis += len(sizes) if axis < 0 else 0
    if not 0 <= axis < max(len(sizes), 1) or sizes[axis : axis + 1] != scale.shape:
        raise node.unsupported(
            f"{scale.size} scales along axis {axis} of {sizes or 'an activation'}", "one scale, or one for each channel of a weight"
        )
    return Quant(tuple(scale.tolist()), zero_point, axis)


def _weight(graph: Graph, node: Node, value: Seen | None, scales: Pair, axis: int) -> Constant:
    weight = constant(node, value, "weight")
    if weight.quant is not None or weight.array.dtype not in (np.int8, np.uint8):
        raise node.unsupported(f"a weight of type {weight.array.dtype}", "int8, uint8")
    return _scaled(graph, node, weight, scales, axis)


def _bias(graph: Graph, node: Node, value: Seen | None, x: View, weight: Constant) -> Constant | None:
    """An int32 bias with the scales of the products."""
    bias = optional(node, value, "bias")
    if bias is None or x.x.quant is None or weight.quant is None:
        return None
    if bias.quant is not None or bias.array.dtype != np.int32 or bias.array.ndim > 1:
        raise node.unsupported(f"a bias of {bias.array.dtype} {bias.array.shape}", "int32, one value for each output")
    products: Array = x.x.quant.scales() * weight.quant.scales()
    graph.assembly.charge(SCALE_BYTES * products.size)
    return replace(bias, quant=Quant(tuple(products.tolist()), 0, None if weight.quant.axis is None else 0))


def _qlinear_conv(graph: Graph, node: Node, values: Values) -> Seen:
    x = _float(graph, node, values[0], (values[1], values[2]))
    weight = _weight(graph, node, values[3], (values[4], values[5]), 0)
    y = convolution(graph, node, x, weight, _bias(graph, node, values[8], x, weight))
    return _quantise(graph, node, y, _activation_quant(graph, node, (values[6], values[7])))


def _qlinear_matmul(graph: Graph, node: Node, values: Values) -> Seen:
    x = _float(graph, node, values[0], (values[1], values[2]))
    y = dense(graph, node, x, _weight(graph, node, values[3], (values[4], values[5]), 1), None)
    return _quantise(graph, node, y, _activation_quant(graph, node, (values[6], values[7])))


def _qgemm(graph: Graph, node: Node, values: Values) -> Seen:
    x = _float(graph, node, values[0], (values[1], values[2]))
    weight = _weight(graph, node, values[3], (values[4], values[5]), 0 if flag(node, "transB") else 1)
    y = gemm(graph, node, x, weight, _bias(graph, node, values[6], x, weight))
    return y if values[7] is None else _quantise(graph, node, y, _activation_quant(graph, node, (values[7], values[8])))


def _qlinear_add(graph: Graph, node: Node, values: Values) -> Seen:
    a, b = (_float(graph, node, values[first], (values[first + 1], values[first + 2])) for first in (0, 3))
    return _quantise(graph, node, total(graph, node, a, b), _activation_quant(graph, node, (values[6], values[7])))


def _first(graph: Graph, node: Node, x: View) -> View:
    """The input of a pool, channels first, whatever its attribute ``channels_last`` says."""
    rank = len(x.shape or ())
    if not flag(node, "channels_last") or not rank:
        return x
    return graph.views.transposed(graph.views.beside(node, "transpose"), x, (rank - 1, *range(rank - 1)))


def _back(graph: Graph, node: Node, y: View) -> View:
    rank = len(y.shape or ())
    if not flag(node, "channels_last") or not rank:
        return y
    return graph.views.transposed(graph.views.beside(node, "back"), y, (*range(1, rank), 0))


def _qlinear_average_pool(graph: Graph, node: Node, values: Values) -> Seen:
    """A pool where the scale stays. Where it changes too, the one rounding of the file must stay one: the mean over the whole image has a
    scale of its own, and over windows inside it is a depthwise convolution with weights of one.
    """
    x = _first(graph, node, _float(graph, node, values[0], (values[1], values[2])))
    quant = _activation_quant(graph, node, (values[3], values[4]))
    kernel, _, pads = pool_window(node, x, "average")
    if x.x.quant == quant or any(pads):
        y = pool(graph, node, x, "average")
        y = y.like(replace(y.x, quant=None))
    elif x.shape is not None and kernel == x.shape[1:]:
        y = global_average(graph, node, x)
    else:
        y = _mean_by_weights(graph, node, x, kernel)
    return _back(graph, node, _quantise(graph, node, y, quant))


def _mean_by_weights(graph: Graph, node: Node, x: View, kernel: tuple[int, ...]) -> View:
    """An average over windows that lie inside the image: weights of 1 in steps of one over the count of taps."""
    channels = (x.shape or (1,))[0]
    if prod(kernel) * channels > MAX_ELEMENTS:
        raise node.unsupported(f"windows of {kernel} over {channels} channels", f"at most {MAX_ELEMENTS} taps")
    graph.assembly.charge(prod(kernel) * channels)
    weight = Constant(np.ones((channels, 1, *kernel), np.int8), Quant((float(np.float32(1 / prod(kernel))),)))
    attributes = {key: value for key, value in node.attributes.items() if key in WINDOW - {"auto_pad", "pads"}}
    return convolution(graph, replace(node, attributes=attributes | {"group": channels}), x, weight, None)


def _qlinear_global_average_pool(graph: Graph, node: Node, values: Values) -> Seen:
    x = _first(graph, node, _float(graph, node, values[0], (values[1], values[2])))
    y = global_average(graph, node, x)
    return _back(graph, node, _quantise(graph, node, y, _activation_quant(graph, node, (values[3], values[4]))))


def _qlinear_softmax(graph: Graph, node: Node, values: Values) -> Seen:
    x = _float(graph, node, values[0], (values[1], values[2]))
    return _quantise(graph, node, softmax(graph, node, x), _activation_quant(graph, node, (values[3], values[4])))


_QUANT = frozenset({"axis", "saturate", "block_size", "output_dtype", "precision"})
HANDLERS = {
    "DequantizeLinear": Handler(_dequantize_linear, (2, 3), _QUANT),
    "QGemm": Handler(_qgemm, (6, 9), frozenset({"alpha", "transA", "transB"}), MICROSOFT),
    "QLinearAdd": Handler(_qlinear_add, (7, 8), frozenset(), MICROSOFT),
    "QLinearAveragePool": Handler(_qlinear_average_pool, (4, 5), WINDOW | {"ceil_mode", "channels_last", "count_include_pad"}, MICROSOFT),
    "QLinearConv": Handler(_qlinear_conv, (8, 9), WINDOW | {"group"}),
    "QLinearGlobalAveragePool": Handler(_qlinear_global_average_pool, (4, 5), frozenset({"channels_last"}), MICROSOFT),
    "QLinearMatMul": Handler(_qlinear_matmul, (8, 8)),
    "QLinearSoftmax": Handler(_qlinear_softmax, (4, 5), frozenset({"axis", "opset"}), MICROSOFT),
    "QuantizeLinear": Handler(_quantize_linear, (2, 3), _QUANT),
}
