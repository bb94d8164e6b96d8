"""What each ONNX operator means for the Network being put together: one small function an operator, and the table of them.

A function gets the values its node reads (None for an absent optional input) and returns the value it makes. Shapes are without the batch
axis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx

from edgeff.importers.assembly import Assembly
from edgeff.importers.conventions import check_finite, short
from edgeff.importers.onnx_tensors import read_tensor
from edgeff.importers.values import SCALE_BYTES, Activation, Constant, Moment, Node, Value
from edgeff.ir import Array, Quant

Values = list[Value | None]


@dataclass(frozen=True, slots=True)
class Graph:
    """What reading a graph has made so far; ``reads`` counts the readers of each tensor, the graph's output among them."""

    assembly: Assembly
    tensors: dict[str, Value]
    reads: Counter[str]
    opset: int

    def get(self, name: str) -> Value:
        """The tensor called ``name``, marked when several nodes read it."""
        value = self.tensors[name]
        if isinstance(value, Activation) and self.reads[name] > 1:
            return replace(value, shared=True)
        return value


@dataclass(frozen=True, slots=True)
class Handler:
    """How to read an operator: the function, the least and largest count of inputs, the attributes it knows."""

    read: Callable[[Graph, Node, Values], Value]
    inputs: tuple[int, int]
    attributes: frozenset[str] = frozenset()


def _attribute(node: Node, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise node.bad(f"attribute {name} of type {type(value).__name__}", "a number")
    return value


def _transposed(constant: Constant) -> Constant:
    """A matrix with its axes exchanged, its scales with it."""
    quant = constant.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=1 - quant.axis)
    return Constant(constant.array.T, quant)


def _scaled(graph: Graph, node: Node, constant: Constant, factor: float, name: str) -> Constant:
    """``constant`` times Gemm's alpha or beta, in float32."""
    if factor == 1.0:
        return constant
    if constant.array.dtype != np.float32:
        raise node.unsupported(f"{name} of {factor:g} on a quantised tensor", f"{name} 1")
    graph.assembly.charge(constant.array.nbytes)
    with np.errstate(over="ignore", invalid="ignore"):
        array: Array = constant.array * np.float32(factor)
    check_finite(array, f"node {short(node.name)}, {name} times its tensor")
    return Constant(array)


def _matrix(node: Node, x: Activation, weight: Constant) -> None:
    """Refuses a product that is no dense layer; ``weight`` is (n_in, n_out)."""
    if weight.array.ndim != 2 or (x.shape is not None and x.shape[-1:] != weight.array.shape[:1]):
        raise node.bad(f"input {x.shape} times {weight.array.shape}", "(n_in,) times (n_in, n_out), without the batch axis")


def _gemm(graph: Graph, node: Node, values: Values) -> Value:
    x, weight = node.real(values[0]), node.constant(values[1], "weight")
    if x.shape is not None and len(x.shape) != 1:
        raise node.bad(f"an input of shape {x.shape}, without the batch axis", "one axis: put a Flatten before it")
    if _attribute(node, "transA", 0):
        raise node.unsupported("transA of 1", "transA 0")
    straight = _transposed(weight) if weight.array.ndim == 2 and _attribute(node, "transB", 0) else weight
    _matrix(node, x, straight)
    weight = _scaled(graph, node, _transposed(straight), _attribute(node, "alpha", 1.0), "alpha")
    bias = None if values[2] is None else _scaled(graph, node, node.constant(values[2], "bias"), _attribute(node, "beta", 1.0), "beta")
    return graph.assembly.dense(node, x, weight, bias)


def _matmul(graph: Graph, node: Node, values: Values) -> Value:
    x, weight = node.real(values[0]), node.constant(values[1], "weight")
    _matrix(node, x, weight)
    return graph.assembly.dense(node, x, _transposed(weight), None)


def _add(graph: Graph, node: Node, values: Values) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        return graph.assembly.step(node, first, "root", "divisor", node.scalar(second, "eps"))
    return graph.assembly.add_bias(node, node.real(first), node.constant(second, "bias"))


def _relu(graph: Graph, node: Node, values: Values) -> Value:
    return graph.assembly.relu(node, node.real(values[0]))


def _softmax(graph: Graph, node: Node, values: Values) -> Value:
    if _attribute(node, "axis", 1 if graph.opset < 13 else -1) not in (1, -1):
        raise node.unsupported("an axis that is not the last", "axis -1")
    return graph.assembly.softmax(node, node.real(values[0]))


def _mul(graph: Graph, node: Node, values: Values) -> Value:
    return graph.assembly.square(node, node.real(values[0]), node.real(values[1]))


def _reduce_mean(graph: Graph, node: Node, values: Values) -> Value:
    axes = node.attributes.get("axes")
    if values[1] is not None:
        axes = node.constant(values[1], "axes").array.reshape(-1).tolist()
    if axes not in ([1], [-1]) or _attribute(node, "keepdims", 1) != 1 or _attribute(node, "noop_with_empty_axes", 0):
        raise node.unsupported("a mean over other axes", "the last axis, kept")
    return graph.assembly.step(node, node.present(values[0]), "square", "mean")


def _sqrt(graph: Graph, node: Node, values: Values) -> Value:
    return graph.assembly.step(node, node.present(values[0]), "mean", "root")


def _div(graph: Graph, node: Node, values: Values) -> Value:
    return graph.assembly.divide(node, node.real(values[0]), node.present(values[1]))


def _pad(graph: Graph, node: Node, values: Values) -> Value:
    array = node.constant(values[1], "pads").array
    pads = array.reshape(-1)[:8].tolist()
    mode = node.attributes.get("mode", b"constant")
    if mode not in (b"constant", "constant") or values[3] is not None or array.dtype != np.int64 or array.size != 4 or pads[0] or pads[2]:
        raise node.unsupported(f"pads {pads} in mode {mode!r}", "mode constant, pads [0, classes, 0, 0]")
    neutral = 0.0 if values[2] is None else node.scalar(values[2], "padding")
    return graph.assembly.label(node, node.real(values[0]), int(pads[1]), int(pads[3]), neutral)


def _flatten(graph: Graph, node: Node, values: Values) -> Value:
    x = node.activation(values[0])
    if x.shape is None:
        return x
    if _attribute(node, "axis", 1) not in (1, -len(x.shape)):
        raise node.unsupported("an axis that is not the first after the batch", "axis 1")
    return graph.assembly.reshape(node, x, (prod(x.shape),))


def _reshape(graph: Graph, node: Node, values: Values) -> Value:
    x, target = node.activation(values[0]), node.constant(values[1], "shape").array
    if x.shape is None or target.dtype != np.int64 or target.ndim != 1 or not 2 <= target.size <= 8 or _attribute(node, "allowzero", 0):
        raise node.unsupported(f"a reshape of {x.shape} to {target.shape}", "a constant shape (batch, elements..)")
    batch, *rest = target.tolist()
    known = prod(size for size in rest if size > 0)
    sizes = [prod(x.shape) // known if size == -1 and batch != -1 else size for size in rest]
    if batch not in (-1, 0, 1) or rest.count(-1) > 1 or any(size < 1 for size in sizes):
        raise node.unsupported(f"a reshape to {[batch, *rest]}", "the batch axis kept: [0, ..], [-1, ..] or [1, ..]")
    return graph.assembly.reshape(node, x, tuple(sizes))


def _same(graph: Graph, node: Node, values: Values) -> Value:
    return node.present(values[0])


def _dropout(graph: Graph, node: Node, values: Values) -> Value:
    if values[2] is not None:
        raise node.unsupported("a training_mode input", "Dropout at inference")
    return node.present(values[0])


def _constant_node(graph: Graph, node: Node, values: Values) -> Value:
    value = node.attributes.get("value")
    if not isinstance(value, onnx.AttributeProto) or not value.HasField("t"):
        raise node.unsupported("a Constant without a tensor", "attribute value")
    return Constant(read_tensor(value.t))


def _transpose(graph: Graph, node: Node, values: Values) -> Value:
    constant = node.constant(values[0], "matrix")
    if constant.array.ndim != 2 or node.attributes.get("perm", [1, 0]) != [1, 0]:
        raise node.unsupported("a transposition that is none of a matrix", "perm [1, 0]")
    return _transposed(constant)


def _quantize(graph: Graph, node: Node, values: Values) -> Value:
    x = node.real(values[0])
    return graph.assembly.quantise(node, x, _quantisation(graph, node, values, np.dtype(np.uint8), ()))


def _dequantize(graph: Graph, node: Node, values: Values) -> Value:
    x = node.present(values[0])
    if isinstance(x, Activation):
        return graph.assembly.dequantise(node, x, _quantisation(graph, node, values, np.dtype(np.uint8), ()))
    if not isinstance(x, Constant) or x.quant is not None or x.array.dtype not in (np.int8, np.uint8, np.int32):
        raise node.unsupported("a tensor that cannot be dequantised", "a constant of int8, uint8 or int32")
    quant = _quantisation(graph, node, values, x.array.dtype, x.array.shape)
    if x.array.dtype != np.uint8:
        return Constant(x.array, quant)
    graph.assembly.charge(x.array.size)
    return Constant((x.array ^ np.uint8(128)).view(np.int8), quant)


def _quantisation(graph: Graph, node: Node, values: Values, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Quant:
    """The scales of a tensor of ``shape`` (() for an activation) as a Quant of int8 or int32; ``dtype`` is its type where no zero point
    tells.
    """
    scales = node.constant(values[1], "scale").array
    graph.assembly.charge(SCALE_BYTES * scales.size)
    zeros = np.zeros((), dtype) if values[2] is None else node.constant(values[2], "zero point").array
    if scales.dtype != np.float32 or scales.ndim > 1 or not scales.size or zeros.shape not in (scales.shape, ()):
        raise node.unsupported(f"scales {scales.dtype} {scales.shape}, zero points {zeros.shape}", "float32, one or one for each channel")
    allowed = (np.int8, np.uint8) if not shape else (dtype,)
    if zeros.dtype not in allowed or np.any(zeros != zeros.flat[0]):
        raise node.unsupported(
            f"zero points of type {zeros.dtype}, {zeros.min()} to {zeros.max()}", "one zero point, int8 or uint8 (int32 for a bias)"
        )
    if _attribute(node, "block_size", 0) or _attribute(node, "output_dtype", 0) not in (0, onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        raise node.unsupported("blocks of scales or another output type", "int8 and uint8")
    zero_point = int(zeros.flat[0]) - (128 if zeros.dtype == np.uint8 else 0)
    axis = None
    if scales.size > 1:
        axis = int(_attribute(node, "axis", 1))
        axis += len(shape) if axis < 0 else 0
        if not 0 <= axis < max(len(shape), 1) or shape[axis : axis + 1] != scales.shape:
            raise node.unsupported(
                f"{scales.size} scales along axis {axis} of {shape or 'an activation'}", "one scale, or one for each channel of a weight"
            )
    return Quant(tuple(scales.reshape(-1).tolist()), zero_point, axis)


_QUANT = frozenset({"axis", "saturate", "block_size", "output_dtype", "precision"})
HANDLERS = {
    "Add": Handler(_add, (2, 2)),
    "Constant": Handler(_constant_node, (0, 0), frozenset({"value"})),
    "DequantizeLinear": Handler(_dequantize, (2, 3), _QUANT),
    "Div": Handler(_div, (2, 2)),
    "Dropout": Handler(_dropout, (1, 3), frozenset({"ratio", "seed"})),
    "Flatten": Handler(_flatten, (1, 1), frozenset({"axis"})),
    "Gemm": Handler(_gemm, (2, 3), frozenset({"alpha", "beta", "transA", "transB"})),
    "Identity": Handler(_same, (1, 1)),
    "MatMul": Handler(_matmul, (2, 2)),
    "Mul": Handler(_mul, (2, 2)),
    "Pad": Handler(_pad, (2, 4), frozenset({"mode"})),
    "QuantizeLinear": Handler(_quantize, (2, 3), _QUANT),
    "ReduceMean": Handler(_reduce_mean, (1, 2), frozenset({"axes", "keepdims", "noop_with_empty_axes"})),
    "Relu": Handler(_relu, (1, 1)),
    "Reshape": Handler(_reshape, (2, 2), frozenset({"allowzero"})),
    "Softmax": Handler(_softmax, (1, 1), frozenset({"axis"})),
    "Sqrt": Handler(_sqrt, (1, 1)),
    "Transpose": Handler(_transpose, (1, 1), frozenset({"perm"})),
}
