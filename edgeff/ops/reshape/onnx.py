"""Reshapes in ONNX: Reshape, Flatten, Squeeze and Unsqueeze.

On a layer's output they make a view, which becomes a layer if edgeff's own description lists it as one; constants are reshaped.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats.onnx.constants import BATCH
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, constant, flag, number
from edgeff.formats.onnx.tensors import MAX_RANK
from edgeff.formats.onnx.views import Seen, Turned
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer


def _flatten(graph: Reading, node: Node, values: Values) -> Seen:
    x = activation(node, values[0])
    if x.shape is None:
        return x
    if number(node, "axis", 1) not in (1, -len(x.shape)):
        raise node.unsupported("an axis that is not the first after the batch", "axis 1")
    return graph.views.reshaped(node, x, (prod(x.shape),))


def _reshape(graph: Reading, node: Node, values: Values) -> Seen:
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
    """The axes of a Squeeze or Unsqueeze among ``rank``, the batch first; an attribute before opset 13. None for all axes."""
    axes = node.attributes.get("axes")
    if values[1] is not None:
        axes = constant(node, values[1], "axes").array.reshape(-1)[:MAX_RANK].tolist()
    if axes is None:
        return None
    if not isinstance(axes, list) or not all(isinstance(axis, int) and -rank <= axis < rank for axis in axes):
        raise node.bad(f"axes {str(axes)[:60]}", f"{-rank} to {rank - 1}")
    return sorted({axis % rank for axis in axes})


def _squeeze(graph: Reading, node: Node, values: Values) -> Seen:
    value = values[0]
    if isinstance(value, Turned):
        own = value.shape
    else:
        own = value.array.shape if isinstance(value, Constant) else (0, *(activation(node, value).shape or ()))
    axes = _axes(node, values, len(own))
    if axes is None:
        axes = [axis for axis, size in enumerate(own) if size == 1]
    if any(own[axis] != 1 for axis in axes):
        raise node.unsupported(f"axes {axes} of a shape {own[1:]}, without the batch axis", "axes of length 1")
    if isinstance(value, Turned):
        return graph.views.without(node, value, axes)
    return _resized(graph, node, value, [size for axis, size in enumerate(own) if axis not in axes])


def _unsqueeze(graph: Reading, node: Node, values: Values) -> Seen:
    value = values[0]
    own = value.array.shape if isinstance(value, Constant) else (0, *(activation(node, value).shape or ()))
    given = node.attributes.get("axes") if values[1] is None else constant(node, values[1], "axes").array.reshape(-1)[:MAX_RANK].tolist()
    axes = _axes(node, values, len(own) + len(given if isinstance(given, list) else ())) or []
    rest = iter(own)
    sizes = [1 if axis in axes else next(rest, 1) for axis in range(len(own) + len(axes))]
    return _resized(graph, node, value, sizes)


def _resized(graph: Reading, node: Node, value: Seen | None, sizes: list[int]) -> Seen:
    """``value`` in a shape that begins, for a layer's output, with a 0 for the batch."""
    if len(sizes) > MAX_RANK:
        raise node.unsupported(f"{len(sizes)} axes", f"at most {MAX_RANK}")
    if isinstance(value, Constant):
        return _in_shape(node, value, sizes)
    if not sizes or sizes[0] != 0:
        raise node.unsupported(f"a shape of {sizes} with the batch axis not in front", "(batch, elements..)")
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


READERS = {
    "Flatten": Handler(_flatten, (1, 1), frozenset({"axis"})),
    "Reshape": Handler(_reshape, (2, 2), frozenset({"allowzero"})),
    "Squeeze": Handler(_squeeze, (1, 2), frozenset({"axes"})),
    "Unsqueeze": Handler(_unsqueeze, (1, 2), frozenset({"axes"})),
}


def write(graph: Graph, layer: Layer) -> None:
    sizes = graph.constant(f"{layer.name}.shape", np.array([0, *layer.shape], np.int64))
    graph.move(layer, "Reshape", (layer.inputs[0], "plain"), (sizes,))
