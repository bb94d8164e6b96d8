"""Parts of tensors in ONNX: Slice, Split, and Gather of one element. Of a constant they are part of a shape."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from edgeff.formats.onnx.constants import gathered, sliced
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, constant, whole
from edgeff.formats.onnx.tensors import MAX_RANK
from edgeff.formats.onnx.views import Seen, Turned, View
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.slice import Slice

Run = tuple[int, int, int]


def _part(graph: Reading, node: Node, x: View, runs: list[Run]) -> View:
    """The part of a tensor that ``runs`` says for each of its axes without the batch."""
    x = graph.views.ordered(node, x)
    own: list[Run] = [(0, 1, 1)] * len(runs)
    for run, axis in zip(runs, x.order, strict=True):
        own[axis] = run
    return View(graph.assembly.part(node, x.x, own), x.order)


def _list(node: Node, name: str, value: Seen | None) -> list[int] | None:
    """Whole numbers: an input, or an attribute before opset 10; None where there are none."""
    numbers = node.attributes.get(name) if value is None else constant(node, value, name).array.reshape(-1)[: MAX_RANK + 1].tolist()
    if numbers is not None and (not isinstance(numbers, list) or len(numbers) > MAX_RANK or not all(isinstance(n, int) for n in numbers)):
        raise node.bad(f"{name} of {str(numbers)[:60]}", f"at most {MAX_RANK} whole numbers")
    return numbers


def _slice(graph: Reading, node: Node, values: Values) -> Seen:
    if isinstance(values[0], Constant):
        return sliced(node, values)
    value = values[0]
    x = value.x if isinstance(value, Turned) else activation(node, value)
    if x.shape is None:
        raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
    starts, ends = _list(node, "starts", values[1]) or [], _list(node, "ends", values[2]) or []
    axes = _list(node, "axes", values[3]) or list(range(len(starts)))
    steps = _list(node, "steps", values[4]) or [1] * len(starts)
    shape = (1, *x.shape)
    axes = [axis + len(shape) if axis < 0 else axis for axis in axes]
    if isinstance(value, Turned):
        axes = [value.perm[axis] if 0 <= axis < len(shape) else axis for axis in axes]
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(set(axes)) < len(axes) or not all(0 <= a < len(shape) for a in axes):
        raise node.bad(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}", "a start, an end and a step for each of some axes")
    runs: list[Run] = [(0, size, 1) for size in shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise node.unsupported(f"a step of {step}", "1 or more")
        size = shape[axis]
        first, last = (min(max(place + size if place < 0 else place, 0), size) for place in (start, end))
        runs[axis] = first, max(-(-(last - first) // step), 0), step
    if runs[0] != (0, 1, 1):
        raise node.unsupported("a slice of the batch axis", "the batch kept")
    y = _part(graph, node, x, runs[1:])
    return replace(value, x=y) if isinstance(value, Turned) else y


def _gather(graph: Reading, node: Node, values: Values) -> Seen:
    """One element along an axis, which is gone then; of a constant part of a shape."""
    value = values[0]
    if value is None or isinstance(value, Constant):
        return gathered(node, values)
    x = value.x if isinstance(value, Turned) else activation(node, value)
    shape, perm = (1, *(x.shape or ())), value.perm if isinstance(value, Turned) else tuple(range(len(x.shape or ()) + 1))
    axis, places = whole(node, "axis", 0), constant(node, values[1], "index").array
    axis += len(shape) if axis < 0 else 0
    if not 0 <= axis < len(shape) or not perm[axis] or places.ndim or places.dtype not in (np.int64, np.int32):
        raise node.unsupported(f"elements {places.dtype} {places.shape} along axis {axis} of {len(shape)}", "one index, after the batch")
    size, place = shape[perm[axis]], int(places)
    if not -size <= place < size:
        raise node.bad(f"element {place} of {size}", "one within it")
    runs = [(place % size, 1, 1) if own == perm[axis] else (0, length, 1) for own, length in enumerate(shape)]
    part = _part(graph, node, x, runs[1:])
    return graph.views.without(node, replace(value, x=part) if isinstance(value, Turned) else part, [axis])


def _split(graph: Reading, node: Node, values: Values) -> Seen:
    x = activation(node, values[0])
    shape, axis = (1, *(x.shape or ())), whole(node, "axis", 0)
    axis += len(shape) if axis < 0 else 0
    if not 1 <= axis < len(shape):
        raise node.unsupported(f"axis {axis} of {len(shape)}", "an axis after the batch")
    even = -(-shape[axis] // node.places)
    sizes = _list(node, "split", values[1]) or [min(even, shape[axis] - even * number) for number in range(node.places)]
    ends = np.cumsum(sizes).tolist()
    if len(sizes) != node.places or min(sizes) < 1 or ends[-1] != shape[axis]:
        raise node.bad(f"parts of {sizes} of {shape[axis]} elements for {node.places} outputs", "a part for each output")
    first, last = list(pairwise([0, *ends]))[node.place]
    runs = [(first, last - first, 1) if place == axis else (0, size, 1) for place, size in enumerate(shape)]
    return _part(graph, node, x, runs[1:])


READERS = {
    "Gather": Handler(_gather, (2, 2), frozenset({"axis"})),
    "Slice": Handler(_slice, (1, 5), frozenset({"axes", "ends", "starts"})),
    "Split": Handler(_split, (1, 2), frozenset({"axis", "num_outputs", "split"}), several=True),
}


def write(graph: Graph, layer: Layer) -> None:
    begin, size, step = record(layer, Slice).runs
    ends = [first + (count - 1) * by + 1 for first, count, by in zip(begin, size, step, strict=True)]
    lists = {"begin": begin, "end": ends, "axes": range(1, len(begin) + 1), "step": step}
    constants = tuple(graph.constant(f"{layer.name}.{name}", np.array(numbers, np.int64)) for name, numbers in lists.items())
    graph.move(layer, "Slice", (layer.inputs[0], "plain"), constants)
