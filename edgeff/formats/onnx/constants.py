"""ONNX operators that make constants: Constant, and the arithmetic of shapes; Dropout at inference, which does nothing.

Shape, Gather, Slice, Concat, Cast and ConstantOfShape serve shapes computed in the graph (PyTorch's ``x.view(x.size(0), -1)``): they
work only on constants of whole numbers.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import onnx

from edgeff.formats.conventions import MAX_ELEMENTS
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, constant, number, present, whole
from edgeff.formats.onnx.tensors import MAX_RANK, read_tensor
from edgeff.formats.onnx.views import Seen, Turned, View
from edgeff.formats.values import Constant, Node
from edgeff.ir import Array

BATCH = -(1 << 40)
"""Stands for the batch in the output of Shape: a Reshape takes it in front, and nothing takes it as a size."""


def _dropout(graph: Reading, node: Node, values: Values) -> Seen:
    if values[2] is not None:
        raise node.unsupported("a training_mode input", "Dropout at inference")
    return present(node, values[0])


def _constant_node(graph: Reading, node: Node, values: Values) -> Seen:
    value = node.attributes.get("value")
    if not isinstance(value, onnx.AttributeProto) or not value.HasField("t"):
        raise node.unsupported("a Constant without a tensor", "attribute value")
    return Constant(read_tensor(value.t))


def _shape(graph: Reading, node: Node, values: Values) -> Seen:
    value = values[0]
    if isinstance(value, Turned):
        sizes = np.array([size or BATCH for size in value.shape], np.int64)
    else:
        x = activation(node, value)
        if x.shape is None:
            raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
        sizes = np.array((BATCH, *x.shape), np.int64)
    start, end = (None if name not in node.attributes else whole(node, name, 0) for name in ("start", "end"))
    return Constant(sizes[slice(start, end)])


def _constant_of_shape(graph: Reading, node: Node, values: Values) -> Seen:
    """One number in a shape, in which the batch counts as one: the state that a recurrent operator begins with."""
    sizes = [1 if size == BATCH else int(size) for size in _numbers(node, values[0], "shape").reshape(-1)]
    attribute = node.attributes.get("value")
    number = np.zeros(1, np.float32)
    if isinstance(attribute, onnx.AttributeProto) and attribute.HasField("t"):
        number = read_tensor(attribute.t)
    if number.size != 1 or any(size < 1 for size in sizes) or prod(sizes) > MAX_ELEMENTS:
        raise node.unsupported(f"{number.size} numbers in the shape {sizes}", f"one number, 1 to {MAX_ELEMENTS} times")
    graph.assembly.charge(prod(sizes) * number.itemsize)
    return Constant(np.full(sizes, number.reshape(-1)[0]))


def _numbers(node: Node, value: Seen | None, what: str) -> Array:
    """``value``, which must be a constant of whole numbers, at most as many as a shape has."""
    array = constant(node, value, what).array
    if array.dtype not in (np.int64, np.int32) or array.ndim > 1 or array.size > MAX_RANK:
        raise node.unsupported(f"a {what} of {array.dtype} {array.shape}", f"at most {MAX_RANK} whole numbers: part of a shape")
    return array.astype(np.int64)


def gathered(node: Node, values: Values) -> Constant:
    """A Gather of a constant: part of a shape."""
    data, places = _numbers(node, values[0], "tensor"), _numbers(node, values[1], "index")
    if number(node, "axis", 0) not in (0, -1) or data.ndim != 1 or not np.all((-data.size <= places) & (places < data.size)):
        raise node.bad(f"elements {places.tolist()} of {data.tolist()}", "indices within it")
    return Constant(data[places])


def sliced(node: Node, values: Values) -> Constant:
    """A Slice of a constant: part of a shape."""
    data = _numbers(node, values[0], "tensor")
    ends = []
    for name, value, default in (("starts", values[1], None), ("ends", values[2], None), ("axes", values[3], 0), ("steps", values[4], 1)):
        number = node.attributes.get(name, default) if value is None else _numbers(node, value, name).tolist()
        number = number[0] if isinstance(number, list) and len(number) == 1 else number
        if not isinstance(number, int):
            raise node.bad(f"{name} of {str(number)[:60]}", "one whole number")
        ends.append(number)
    start, end, axis, step = ends
    if axis not in (0, -1) or step != 1 or data.ndim != 1:
        raise node.unsupported(f"axis {axis} in steps of {step} of a tensor of {data.ndim} axes", "part of a shape")
    return Constant(data[start:end])


def concatenated(node: Node, values: Values) -> Constant:
    """A Concat of constants: a shape."""
    parts = [_numbers(node, value, "part") for value in values if value is not None]
    if number(node, "axis", 0) not in (0, -1) or any(part.ndim != 1 for part in parts) or sum(part.size for part in parts) > MAX_RANK:
        raise node.unsupported(f"parts of shapes {[part.shape for part in parts]}", f"the parts of a shape of at most {MAX_RANK} sizes")
    return Constant(np.concatenate(parts))


def _cast(graph: Reading, node: Node, values: Values) -> Seen:
    """Of a shape, or of integers without a scale to float: the same numbers."""
    x = values[0]
    if isinstance(x, View) and number(node, "to", 0) == onnx.TensorProto.FLOAT and x.x.quant is None:
        return x.like(replace(x.x, integer=False))
    if number(node, "to", 0) not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        raise node.unsupported("a change of type", "to int64, of a shape, or from integers without a scale to float")
    return Constant(_numbers(node, values[0], "tensor"))


READERS = {
    "Cast": Handler(_cast, (1, 1), frozenset({"saturate", "to"})),
    "Constant": Handler(_constant_node, (0, 0), frozenset({"value"})),
    "Dropout": Handler(_dropout, (1, 3), frozenset({"ratio", "seed"})),
    "ConstantOfShape": Handler(_constant_of_shape, (1, 1), frozenset({"value"})),
    "Shape": Handler(_shape, (1, 1), frozenset({"end", "start"})),
}
