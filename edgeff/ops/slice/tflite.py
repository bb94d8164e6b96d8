"""Parts of tensors in TFLite: STRIDED_SLICE and SLICE, SPLIT and SPLIT_V, and UNPACK, which drops the axis.

A STRIDED_SLICE of a constant is part of a shape.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.checks import short
from edgeff.formats.tflite.constants import MASKS, sliced
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Node, Recalled, Turned, Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.slice import Slice

Run = tuple[int, int, int]


def _numbers(node: TfliteNode, value: Value | None, what: str, count: int) -> list[int]:
    array = node.constant(value, what).array
    if array.dtype not in (np.int32, np.int64) or array.size != count:
        raise node.unsupported(f"a {what} of {array.dtype} {array.shape}", f"{count} whole numbers")
    return [int(number) for number in array.reshape(-1)]


def _strided_slice(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    if isinstance(values[0], Constant):
        return sliced(node, values)
    past = values[0] if isinstance(values[0], Recalled) else None
    shape = (1, *(past.shape if past is not None else node.activation(values[0]).shape or ()))
    masks = {name: int(node.attributes.get(name, 0)) for name in MASKS}
    count = node.constant(values[1], "begin").array.size
    begins, ends, steps = (_numbers(node, values[place], what, count) for place, what in ((1, "begin"), (2, "end"), (3, "stride")))
    if masks["ellipsis_mask"] or masks["new_axis_mask"] or not 1 <= count <= len(shape):
        raise node.unsupported("a slice with an ellipsis or new axes", "begin, end, stride and shrink for the first axes")
    runs, kept = [], []
    for axis, size in enumerate(shape):
        shrinks = axis < count and masks["shrink_axis_mask"] >> axis & 1
        runs.append((0, size, 1) if axis >= count else _run(node, size, (begins[axis], ends[axis], steps[axis]), masks, axis))
        kept += [] if shrinks else [axis]
    if runs[0] != (0, 1, 1) or 0 not in kept:
        raise node.unsupported("a slice of the batch axis", "the batch kept")
    if past is not None:
        return _last_rows(node, past, runs[1:])
    y = assembly.part(node, node.activation(values[0]), runs[1:])
    if len(kept) == len(shape):
        return y
    return assembly.reshape(Node(f"{node.name}_view", "", {}, ()), y, tuple(runs[axis][1] for axis in kept[1:]))


def _last_rows(node: Node, past: Recalled, runs: list[Run]) -> Recalled:
    """The last rows of what a variable holds."""
    (first, count, _), *rest = runs
    if first + count != past.shape[0] or not count or rest != [(0, size, 1) for size in past.shape[1:]] or runs[0][2] != 1:
        raise node.unsupported(f"elements {runs[:8]} (first, count, step) of variable {short(past.variable.name)}", "its last rows")
    return replace(past, shape=(count, *past.shape[1:]))


def _run(node: Node, size: int, given: tuple[int, int, int], masks: dict[str, int], axis: int) -> Run:
    """The first element, the count and the step of one axis, as TFLite's StridedSlice reads them."""
    begin, end, step = given
    if step < 1:
        raise node.unsupported(f"a stride of {step}", "1 or more")
    if masks["shrink_axis_mask"] >> axis & 1:
        first = begin + size if begin < 0 else begin
        if not 0 <= first < size:
            raise node.bad(f"element {begin} of {size}", "an index within it")
        return first, 1, 1
    first = 0 if masks["begin_mask"] >> axis & 1 else min(max(begin + size if begin < 0 else begin, 0), size)
    last = size if masks["end_mask"] >> axis & 1 else min(max(end + size if end < 0 else end, 0), size)
    return first, max(-(-(last - first) // step), 0), step


def _slice(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x = node.activation(values[0])
    shape = (1, *(x.shape or ()))
    begins, sizes = (_numbers(node, values[place], what, len(shape)) for place, what in ((1, "begin"), (2, "size")))
    runs = [(first, whole - first if size == -1 else size, 1) for first, size, whole in zip(begins, sizes, shape, strict=True)]
    if runs[0] != (0, 1, 1):
        raise node.unsupported("a slice of the batch axis", "the batch kept")
    return assembly.part(node, x, runs[1:])


def _along(assembly: Assembly, node: TfliteNode, x: Activation, axis: int, ends: list[int]) -> Activation:
    """The node's own part of ``x``, which ``ends`` cut along ``axis``, counted with the batch."""
    shape = (1, *(x.shape or ()))
    axis += len(shape) if axis < 0 else 0
    if not 1 <= axis < len(shape) or ends[-1] != shape[axis]:
        raise node.unsupported(f"parts that end at {ends[:8]} along axis {axis} of {shape}", "parts of one axis after the batch")
    first, last = list(pairwise([0, *ends]))[node.place]
    runs = [(first, last - first, 1) if place == axis else (0, size, 1) for place, size in enumerate(shape)]
    return assembly.part(node, x, runs[1:])


def _split(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    (axis,), x = _numbers(node, values[0], "axis", 1), node.activation(values[1])
    shape = (1, *(x.shape or ()))
    size = shape[axis] if -len(shape) <= axis < len(shape) else 0
    if size % node.places:
        raise node.bad(f"{node.places} parts of {size} elements", "parts of one size")
    return _along(assembly, node, x, axis, [size // node.places * (number + 1) for number in range(node.places)])


def _split_v(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, (axis,), sizes = node.activation(values[0]), _numbers(node, values[2], "axis", 1), _numbers(node, values[1], "sizes", node.places)
    shape = (1, *(x.shape or ()))
    whole = shape[axis] if -len(shape) <= axis < len(shape) else 0
    known = sum(size for size in sizes if size >= 0)
    return _along(assembly, node, x, axis, np.cumsum([whole - known if size < 0 else size for size in sizes]).tolist())


def _unpack(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    axis = int(node.attributes.get("axis", 0))
    if isinstance(turned := values[0], Turned):
        perm = turned.perm
        left = [place for place in perm if -len(perm) <= axis < len(perm) and place != perm[axis]]
        if left[:1] != [0] or left != sorted(left):
            raise node.unsupported(f"elements along axis {axis} of axes in the order {perm}", "the batch first in each of them")
        x, axis = turned.of, perm[axis]
    else:
        x = node.activation(turned)
    if node.places == 1:  # no element moves, whatever the axis: the batch too is of length 1
        return assembly.reshape(node, x, node.output.shape[1:])
    shape = (1, *(x.shape or ()))
    axis += len(shape) if axis < 0 else 0
    y = _along(assembly, node, x, axis, list(range(1, node.places + 1)))
    rest = tuple(size for place, size in enumerate(shape) if place not in (0, axis))
    return assembly.reshape(Node(f"{node.name}_view", "", {}, ()), y, rest)


def _slice_options(table: Table) -> dict[str, Any]:
    return {name: int(table.number(slot, "int32")) for slot, name in enumerate(MASKS)}


_TYPES = schema.BuiltinOptions
READERS = {
    "SLICE": Handler(_slice, (3, 3), _TYPES.SliceOptions),
    "SPLIT": Handler(_split, (2, 2), _TYPES.SplitOptions, several=True),
    "SPLIT_V": Handler(_split_v, (3, 3), _TYPES.SplitVOptions, several=True),
    "STRIDED_SLICE": Handler(_strided_slice, (4, 4), _TYPES.StridedSliceOptions, _slice_options),
    "UNPACK": Handler(_unpack, (1, 1), _TYPES.UnpackOptions, lambda table: {"axis": int(table.number(1, "int32"))}, several=True),
}


def write(graph: Graph, layer: Layer) -> None:
    begin, size, step = record(layer, Slice).runs
    ends = [first + (count - 1) * by + 1 for first, count, by in zip(begin, size, step, strict=True)]
    lists = {"begin": (0, *begin), "end": (1, *ends), "stride": (1, *step)}
    inputs = [graph.constant(f"{layer.name}.{name}", np.array(numbers, np.int32)) for name, numbers in lists.items()]
    graph.operator("STRIDED_SLICE", [graph.source(layer), *inputs], graph.output(layer), "StridedSliceOptions")
