"""ONNX operators of vectors: Gemm, MatMul, sums and products, Softmax, LayerNormalization, and the five nodes of a normalise layer.

A sum or product with a constant is part of the layer before it; a product of a tensor with itself begins a normalise layer; a sum of two
tensors is an ``add``. A Gemm behind a Flatten of an image channels first gets its columns in the order of edgeff's image, so that nothing
is transposed at run time.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats.conventions import check_finite, short
from edgeff.formats.onnx.reading import Graph, Handler, Values, activation, constant, flag, number, optional, present, real
from edgeff.formats.onnx.views import Seen, View, channels_first, view
from edgeff.formats.values import Activation, Constant, Moment, Node
from edgeff.ir import Array


def transposed(matrix: Constant) -> Constant:
    """A matrix with its axes exchanged, its scales with it."""
    quant = matrix.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=1 - quant.axis)
    return Constant(matrix.array.T, quant)


def dense(graph: Graph, node: Node, x: View, weight: Constant, bias: Constant | None) -> View:
    """A dense layer on the elements of ``x`` as the graph orders them; ``weight`` is (n_in, n_out)."""
    shape = x.shape
    if weight.array.ndim != 2 or (shape is not None and shape[-1:] != weight.array.shape[:1]):
        raise node.bad(f"input {shape} times {weight.array.shape}", "(n_in,) times (n_in, n_out), without the batch axis")
    weight = transposed(weight)
    places = graph.views.elements(x) if shape is not None and prod(shape) == weight.array.shape[1] else None
    if places is None:
        return view(graph.assembly.dense(node, graph.views.plain(node, x), weight, bias))
    graph.assembly.charge(weight.array.nbytes)
    columns = np.empty(weight.array.shape, weight.array.dtype)
    columns[:, places] = weight.array
    return view(graph.assembly.dense(node, x.x, replace(weight, array=columns), bias))


def _scaled(graph: Graph, node: Node, value: Constant, factor: float, name: str) -> Constant:
    """``value`` times Gemm's alpha or beta, in float32."""
    if factor == 1.0:
        return value
    if value.array.dtype != np.float32:
        raise node.unsupported(f"{name} of {factor:g} on a quantised tensor", f"{name} 1")
    graph.assembly.charge(value.array.nbytes)
    with np.errstate(over="ignore", invalid="ignore"):
        array: Array = value.array * np.float32(factor)
    check_finite(array, f"node {short(node.name)}, {name} times its tensor")
    return Constant(array)


def gemm(graph: Graph, node: Node, x: View, weight: Constant, bias: Constant | None) -> View:
    """Gemm with its attributes, on a tensor of one axis."""
    if x.shape is not None and len(x.shape) != 1:
        raise node.bad(f"an input of shape {x.shape}, without the batch axis", "one axis: put a Flatten before it")
    if flag(node, "transA"):
        raise node.unsupported("transA of 1", "transA 0")
    if weight.array.ndim == 2 and flag(node, "transB"):
        weight = transposed(weight)
    weight = _scaled(graph, node, weight, number(node, "alpha", 1.0), "alpha")
    if bias is not None:
        bias = _scaled(graph, node, bias, number(node, "beta", 1.0), "beta")
    return dense(graph, node, x, weight, bias)


def _gemm(graph: Graph, node: Node, values: Values) -> Seen:
    return gemm(graph, node, real(node, values[0]), constant(node, values[1], "weight"), optional(node, values[2], "bias"))


def _matmul(graph: Graph, node: Node, values: Values) -> Seen:
    return dense(graph, node, real(node, values[0]), constant(node, values[1], "weight"), None)


def total(graph: Graph, node: Node, a: View, b: View) -> View:
    """The sum of two tensors of one shape."""
    x, y, like = graph.views.aligned(node, a, b)
    return like.like(graph.assembly.add(node, x, y))


def _add(graph: Graph, node: Node, values: Values) -> Seen:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        eps = node.scalar(constant(node, second, "eps"), "eps")
        return graph.assembly.step(node, first, "root", "divisor", eps)
    x = real(node, first)
    if isinstance(second, View):
        return total(graph, node, x, real(node, second))
    bias = constant(node, second, "bias")
    if x.shape is not None and len(x.shape) > 1 and bias.quant is None:
        return _affine(graph, node, x, np.ones(1), _by_channel(node, x, bias))
    if x.shape is not None and len(x.shape) > 1:
        bias = replace(bias, array=_by_channel(node, x, bias))
    elif bias.array.ndim > 2:
        raise node.bad(f"a bias of shape {bias.array.shape} for an input of shape {x.shape}", "one axis, or two with the batch")
    return x.like(graph.assembly.add_bias(node, x.x, bias))


def _subtract(graph: Graph, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    return _affine(graph, node, x, np.ones(1), -_factor(node, x, constant(node, values[1], "bias")))


def _multiply(graph: Graph, node: Node, values: Values) -> Seen:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(second, Constant):
        x = real(node, first)
        return _affine(graph, node, x, _factor(node, x, second), np.zeros(1))
    return graph.assembly.square(node, graph.vector(node, first), graph.vector(node, second))


def _by_channel(node: Node, x: View, value: Constant) -> Array:
    """A constant that is added to ``x`` or multiplies it, as a vector over edgeff's last axis, or of one element."""
    shape, array = x.shape, value.array
    if array.dtype != (np.float32 if value.quant is None else np.int32):
        raise node.unsupported(f"a constant of type {array.dtype}", "float32, or int32 with scales")
    if shape is not None and array.ndim > len(shape) + 1:
        raise node.unsupported(f"a constant of shape {array.shape} on an input of shape {shape}", f"at most {len(shape) + 1} axes")
    if array.size == 1:
        return array.reshape(1)
    if shape is None or x.reshaped is not None:
        raise node.unsupported(f"a constant of shape {array.shape} on an input of shape {shape}", "one number, or one for each channel")
    wanted = tuple(size if place == len(x.order) - 1 else 1 for size, place in zip(shape, x.order, strict=True))
    given = array.shape[-len(wanted) :]
    if array.size != max(wanted) or (1,) * (len(wanted) - len(given)) + given != wanted:
        raise node.unsupported(f"a constant of shape {array.shape} on an input of shape {shape}", "one number, or one for each channel")
    return array.reshape(-1)


def _factor(node: Node, x: View, value: Constant) -> Array:
    """A float constant as a vector over edgeff's last axis, or of one element."""
    if value.quant is not None:
        raise node.unsupported("a quantised constant", "float32")
    return _by_channel(node, x, value)


def _affine(graph: Graph, node: Node, x: View, scale: Array, shift: Array) -> View:
    return x.like(graph.assembly.affine(node, x.x, scale, shift))


def _batch_normalization(graph: Graph, node: Node, values: Values) -> Seen:
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias, over ONNX's first axis after the batch."""
    x = real(node, values[0])
    names = ("scale", "bias", "mean", "variance")
    parts = [constant(node, value, name) for value, name in zip(values[1:], names, strict=True)]
    if x.x.quant is not None or any(part.quant is not None for part in parts):
        raise node.unsupported(
            "a quantised batch normalisation", "one folded into the convolution before it, before the model is quantised"
        )
    if flag(node, "training_mode") or number(node, "spatial", 1) != 1:
        raise node.unsupported("batch normalisation in training, or by position", "training_mode 0, spatial 1")
    scale, bias, mean, variance = (part.array for part in parts)
    shapes = {part.array.shape for part in parts}
    if x.shape is None or shapes != {x.shape[:1]} or any(part.array.dtype != np.float32 for part in parts):
        raise node.bad(f"parameters of shapes {sorted(shapes)} for an input of shape {x.shape}", "four of float32, one value a channel")
    if len(x.shape) > 1:
        x = channels_first(graph.views.channels_last(node, x))
    eps = number(node, "epsilon", 1e-5)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance.astype(np.float64) + eps)
        shift = bias - mean * factor
    check_finite(np.concatenate([factor, shift]), f"node {short(node.name)}, scale / sqrt(variance + epsilon)")
    return _affine(graph, node, x, factor, shift)


def _layer_normalization(graph: Graph, node: Node, values: Values) -> Seen:
    """A standardise layer: over all axes but the batch, without parameters of its own."""
    x = graph.vector(node, values[0])
    if x.shape is None or int(number(node, "axis", -1)) not in (1, -len(x.shape)):
        raise node.unsupported(f"part of an input of shape {x.shape}, without the batch axis", "all axes but the batch")
    scale, bias = constant(node, values[1], "scale").array, optional(node, values[2], "bias")
    if (scale != 1).any() or (bias is not None and bias.array.any()):
        raise node.unsupported("a scale or a bias", "a scale of ones, no bias")
    return view(graph.assembly.standardise(node, x, number(node, "epsilon", 1e-5)))


def softmax(graph: Graph, node: Node, x: View) -> View:
    """A softmax over all elements of ``x``, which lie along one axis."""
    shape = x.shape
    if shape is None:
        raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
    axis = int(number(node, "axis", 1 if graph.opset < 13 else -1))
    place = axis - 1 if axis > 0 else axis + len(shape)
    if not 0 <= place < len(shape) or axis == 0 or any(size != 1 for other, size in enumerate(shape) if other != place):
        raise node.unsupported(f"an axis that is not the last, of an input of shape {shape}", "the one axis longer than 1")
    if len(shape) == 1:
        return view(graph.assembly.softmax(node, graph.views.plain(node, x)))
    flat = graph.assembly.reshape(graph.views.beside(node, "reshape"), graph.views.plain(node, x), (shape[place],))
    return graph.views.reshaped(graph.views.beside(node, "view"), view(graph.assembly.softmax(node, flat)), shape)


def _softmax(graph: Graph, node: Node, values: Values) -> Seen:
    return softmax(graph, node, real(node, values[0]))


def _relu(graph: Graph, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    return x.like(graph.assembly.relu(node, x.x))


def _clip(graph: Graph, node: Node, values: Values) -> Seen:
    """ReLU6, or ReLU where there is no upper end; the ends are attributes before opset 11."""
    x, largest = real(node, values[0]), float(np.finfo(np.float32).max)
    ends = []
    for name, value, default in (("min", values[1], -largest), ("max", values[2], largest)):
        end = optional(node, value, name)
        ends.append(number(node, name, default) if end is None else node.scalar(end, name))
    low, high = ends
    if low != 0 or not (high == 6 or high >= largest):
        raise node.unsupported(f"values cut to {low:g} .. {high:g}", "min 0, and max 6 or none")
    return x.like(graph.assembly.relu(node, x.x, "relu6" if high == 6 else "relu"))


def _sqrt(graph: Graph, node: Node, values: Values) -> Seen:
    return graph.assembly.step(node, graph.moment(node, values[0]), "mean", "root")


def _divide(graph: Graph, node: Node, values: Values) -> Seen:
    divisor = present(node, values[1])
    if not isinstance(divisor, Moment):
        raise node.unsupported("a division outside the one known pattern", "u / (sqrt(mean(u * u)) + eps)")
    x: Activation = graph.vector(node, activation(node, values[0]))
    return view(graph.assembly.divide(node, x, divisor))


HANDLERS = {
    "Add": Handler(_add, (2, 2)),
    "BatchNormalization": Handler(_batch_normalization, (5, 5), frozenset({"epsilon", "momentum", "spatial", "training_mode"})),
    "Clip": Handler(_clip, (1, 3), frozenset({"min", "max"})),
    "Div": Handler(_divide, (2, 2)),
    "Gemm": Handler(_gemm, (2, 3), frozenset({"alpha", "beta", "transA", "transB"})),
    "LayerNormalization": Handler(_layer_normalization, (2, 3), frozenset({"axis", "epsilon", "stash_type"})),
    "MatMul": Handler(_matmul, (2, 2)),
    "Mul": Handler(_multiply, (2, 2)),
    "Relu": Handler(_relu, (1, 1)),
    "Softmax": Handler(_softmax, (1, 1), frozenset({"axis"})),
    "Sqrt": Handler(_sqrt, (1, 1)),
    "Sub": Handler(_subtract, (2, 2)),
}
