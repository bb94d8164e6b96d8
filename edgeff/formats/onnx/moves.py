"""ONNX operators that move or rename data: Reshape and its kin, Transpose, Identity, Dropout at inference, Constant.

On a layer's output they make a view; on a constant they are carried out. A node that edgeff's own description names as a layer stays one.
Shape, Gather, Slice, Concat and Cast are there for the shape of a Reshape that a graph computes (PyTorch's ``x.view(x.size(0), -1)``): they
work on constants of whole numbers alone.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import onnx

from edgeff.formats.onnx.reading import Graph, Handler, Values, activation, constant, flag, number, present
from edgeff.formats.onnx.tensors import MAX_RANK, read_tensor
from edgeff.formats.onnx.views import Axes, Seen, View
from edgeff.formats.values import Constant, Node
from edgeff.ir import Array

BATCH = -(1 << 40)
"""Stands for the batch in what Shape gives: a Reshape takes it in front, and no one takes it as a size."""


def _flatten(graph: Graph, node: Node, values: Values) -> Seen:
    x = activation(node, values[0])
    if x.shape is None:
        return x
    if number(node, "axis", 1) not in (1, -len(x.shape)):
        raise node.unsupported("an axis that is not the first after the batch", "axis 1")
    return graph.views.reshaped(node, x, (prod(x.shape),))


def _reshape(graph: Graph, node: Node, values: Values) -> Seen:
    target = constant(node, values[1], "shape").array
    if target.dtype != np.int64 or target.ndim != 1 or not 1 <= target.size <= MAX_RANK or flag(node, "allowzero"):
        raise node.unsupported(f"a reshape to {target.dtype} {target.shape}", "a constant shape of 1 to 8 sizes, without allowzero")
    wish = target.tolist()
    wish[0] = 0 if wish[0] == BATCH else wish[0]
    if isinstance(values[0], Constant):
        sizes = [values[0].array.shape[place] if size == 0 and place < values[0].array.ndim else size for place, size in enumerate(wish)]
        return _in_shape(node, values[0], sizes)
    x = activation(node, values[0])
    if x.shape is None or len(wish) < 2:
        raise node.unsupported(f"a reshape of {x.shape} to {wish}", "a constant shape (batch, elements..)")
    batch, *rest = [x.shape[place - 1] if size == 0 and 1 <= place <= len(x.shape) else size for place, size in enumerate(wish)]
    known = prod(size for size in rest if size > 0)
    sizes = [prod(x.shape) // known if size == -1 and batch != -1 else size for size in rest]
    if batch not in (-1, 0, 1) or rest.count(-1) > 1 or any(size < 1 for size in sizes):
        raise node.unsupported(f"a reshape to {[batch, *rest]}", "the batch axis kept: [0, ..], [-1, ..] or [1, ..]")
    return graph.views.reshaped(node, x, tuple(sizes))


def _axes(node: Node, values: Values, rank: int) -> list[int] | None:
    """The axes of a Squeeze or Unsqueeze among ``rank``, the batch first; an attribute before opset 13. None where all are meant."""
    axes = node.attributes.get("axes")
    if values[1] is not None:
        axes = constant(node, values[1], "axes").array.reshape(-1)[:MAX_RANK].tolist()
    if axes is None:
        return None
    if not isinstance(axes, list) or not all(isinstance(axis, int) and -rank <= axis < rank for axis in axes):
        raise node.bad(f"axes {str(axes)[:60]}", f"{-rank} to {rank - 1}")
    return sorted({axis % rank for axis in axes})


def _squeeze(graph: Graph, node: Node, values: Values) -> Seen:
    value = values[0]
    own = value.array.shape if isinstance(value, Constant) else (0, *(activation(node, value).shape or ()))
    axes = _axes(node, values, len(own))
    if axes is None:
        axes = [axis for axis, size in enumerate(own) if size == 1]
    if any(own[axis] != 1 for axis in axes):
        raise node.unsupported(f"axes {axes} of a shape {own[1:]}, without the batch axis", "axes of length 1")
    return _resized(graph, node, value, [size for axis, size in enumerate(own) if axis not in axes])


def _unsqueeze(graph: Graph, node: Node, values: Values) -> Seen:
    value = values[0]
    own = value.array.shape if isinstance(value, Constant) else (0, *(activation(node, value).shape or ()))
    given = node.attributes.get("axes") if values[1] is None else constant(node, values[1], "axes").array.reshape(-1)[:MAX_RANK].tolist()
    axes = _axes(node, values, len(own) + len(given if isinstance(given, list) else ())) or []
    rest = iter(own)
    sizes = [1 if axis in axes else next(rest, 1) for axis in range(len(own) + len(axes))]
    return _resized(graph, node, value, sizes)


def _resized(graph: Graph, node: Node, value: Seen | None, sizes: list[int]) -> Seen:
    """``value`` in a shape that begins, for a layer's output, with a 0 for the batch."""
    if len(sizes) > MAX_RANK:
        raise node.unsupported(f"{len(sizes)} axes", f"at most {MAX_RANK}")
    if isinstance(value, Constant):
        return _in_shape(node, value, sizes)
    if not sizes or sizes[0] != 0:
        raise node.unsupported(f"a shape of {sizes} with the batch elsewhere than in front", "(batch, elements..)")
    return graph.views.reshaped(node, activation(node, value), tuple(sizes[1:]))


def _in_shape(node: Node, value: Constant, sizes: list[int]) -> Constant:
    array = value.array
    if value.quant is not None and value.quant.axis is not None:
        raise node.unsupported("a reshape of a constant with scales of its own for each channel", "one scale")
    known = prod(size for size in sizes if size != -1)
    fits = known == array.size if -1 not in sizes else sizes.count(-1) == 1 and known > 0 and array.size % known == 0
    if not fits or any(size < -1 for size in sizes):
        raise node.bad(f"a constant of shape {array.shape} to {sizes}", "as many elements")
    return replace(value, array=array.reshape(sizes))


def _transpose(graph: Graph, node: Node, values: Values) -> Seen:
    value = present(node, values[0])
    rank = value.array.ndim if isinstance(value, Constant) else len(activation(node, value).shape or ()) + 1
    perm = node.attributes.get("perm", list(range(rank))[::-1])
    if not isinstance(perm, list) or sorted(perm) != list(range(rank)):
        raise node.bad(f"perm {str(perm)[:60]}", f"each of {rank} axes once")
    order: Axes = tuple(perm)
    if isinstance(value, Constant):
        quant = value.quant
        if quant is not None and quant.axis is not None:
            quant = replace(quant, axis=order.index(quant.axis))
        return Constant(value.array.transpose(order), quant)
    if order[0] != 0:
        raise node.unsupported(f"perm {perm}, which moves the batch axis", "0 in front")
    return graph.views.transposed(node, activation(node, value), tuple(axis - 1 for axis in order[1:]))


def _same(graph: Graph, node: Node, values: Values) -> Seen:
    value = present(node, values[0])
    if isinstance(value, View) and graph.described.get(node.name) == "requantise":
        return value.like(graph.assembly.elementwise(node, "requantise", value.x, {}))
    return value


def _dropout(graph: Graph, node: Node, values: Values) -> Seen:
    if values[2] is not None:
        raise node.unsupported("a training_mode input", "Dropout at inference")
    return present(node, values[0])


def _constant_node(graph: Graph, node: Node, values: Values) -> Seen:
    value = node.attributes.get("value")
    if not isinstance(value, onnx.AttributeProto) or not value.HasField("t"):
        raise node.unsupported("a Constant without a tensor", "attribute value")
    return Constant(read_tensor(value.t))


def _shape(graph: Graph, node: Node, values: Values) -> Seen:
    x = activation(node, values[0])
    if x.shape is None:
        raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
    sizes = np.array((BATCH, *x.shape), np.int64)
    start, end = (None if name not in node.attributes else int(number(node, name, 0)) for name in ("start", "end"))
    return Constant(sizes[slice(start, end)])


def _numbers(node: Node, value: Seen | None, what: str) -> Array:
    """``value``, which must be a constant of at most as many whole numbers as a shape has."""
    array = constant(node, value, what).array
    if array.dtype not in (np.int64, np.int32) or array.ndim > 1 or array.size > MAX_RANK:
        raise node.unsupported(f"a {what} of {array.dtype} {array.shape}", f"at most {MAX_RANK} whole numbers: part of a shape")
    return array.astype(np.int64)


def _gather(graph: Graph, node: Node, values: Values) -> Seen:
    data, places = _numbers(node, values[0], "tensor"), _numbers(node, values[1], "index")
    if number(node, "axis", 0) not in (0, -1) or data.ndim != 1 or not np.all((-data.size <= places) & (places < data.size)):
        raise node.bad(f"elements {places.tolist()} of {data.tolist()}", "places in it")
    return Constant(data[places])


def _slice(graph: Graph, node: Node, values: Values) -> Seen:
    data = _numbers(node, values[0], "tensor")
    ends = []
    for name, value, default in (("starts", values[1], None), ("ends", values[2], None), ("axes", values[3], 0), ("steps", values[4], 1)):
        found = node.attributes.get(name, default) if value is None else _numbers(node, value, name).tolist()
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        if not isinstance(found, int):
            raise node.bad(f"{name} of {str(found)[:60]}", "one whole number")
        ends.append(found)
    start, end, axis, step = ends
    if axis not in (0, -1) or step != 1 or data.ndim != 1:
        raise node.unsupported(f"axis {axis} in steps of {step} of a tensor of {data.ndim} axes", "part of a shape")
    return Constant(data[start:end])


def _concat(graph: Graph, node: Node, values: Values) -> Seen:
    parts = [_numbers(node, value, "part") for value in values if value is not None]
    if number(node, "axis", 0) not in (0, -1) or any(part.ndim != 1 for part in parts) or sum(part.size for part in parts) > MAX_RANK:
        raise node.unsupported(f"parts of shapes {[part.shape for part in parts]}", f"the parts of a shape of at most {MAX_RANK} sizes")
    return Constant(np.concatenate(parts))


def _cast(graph: Graph, node: Node, values: Values) -> Seen:
    if number(node, "to", 0) not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        raise node.unsupported("a change of type", "to int64, of a shape")
    return Constant(_numbers(node, values[0], "tensor"))


HANDLERS = {
    "Cast": Handler(_cast, (1, 1), frozenset({"saturate", "to"})),
    "Concat": Handler(_concat, (1, MAX_RANK), frozenset({"axis"})),
    "Constant": Handler(_constant_node, (0, 0), frozenset({"value"})),
    "Dropout": Handler(_dropout, (1, 3), frozenset({"ratio", "seed"})),
    "Gather": Handler(_gather, (2, 2), frozenset({"axis"})),
    "Shape": Handler(_shape, (1, 1), frozenset({"end", "start"})),
    "Slice": Handler(_slice, (1, 5), frozenset({"axes", "ends", "starts"})),
    "Flatten": Handler(_flatten, (1, 1), frozenset({"axis"})),
    "Identity": Handler(_same, (1, 1)),
    "Reshape": Handler(_reshape, (2, 2), frozenset({"allowzero"})),
    "Squeeze": Handler(_squeeze, (1, 2), frozenset({"axes"})),
    "Transpose": Handler(_transpose, (1, 1), frozenset({"perm"})),
    "Unsqueeze": Handler(_unsqueeze, (1, 2), frozenset({"axes"})),
}
