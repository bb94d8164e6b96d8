"""ONNX's Pad: zeros around an image, which become the padding of the window that reads them, or the neutral label before a vector."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, integers, number, optional, real, word
from edgeff.formats.onnx.views import Axes, Seen, View, channels_first, view
from edgeff.formats.values import Node
from edgeff.ir import Array
from edgeff.ops.label import Label
from edgeff.ops.pad import Pad


def _pad(graph: Reading, node: Node, values: Values) -> Seen:
    """Zeros around an image, or the neutral label before a vector; the pads are an attribute before opset 11.

    Before the channels of an image the neutral label may be zeros as well: it is one if edgeff's own description says so.
    """
    x = real(node, values[0])
    if word(node, "mode", "constant") != "constant" or x.shape is None:
        raise node.unsupported("padding with other than a constant", "mode constant")
    rank = len(x.shape) + 1
    pads = _pads(node, values, rank)
    given = optional(node, values[2], "padding")
    neutral = number(node, "value", 0.0) if given is None else node.scalar(given, "padding")
    before, after = pads[:rank], pads[rank:]
    if before[0] or after[0]:
        raise node.unsupported(f"pads {pads} along the batch axis", "0 there")
    if graph.described.get(node.name) == Pad.name:
        return view(graph.assembly.padded(node, graph.views.plain(node, x), list(zip(before[1:], after[1:], strict=True)), neutral))
    if rank == 2 and not after[1] and x.x.quant is None:
        return view(graph.assembly.label(node, graph.views.plain(node, x), before[1], after[1], neutral))
    if graph.described.get(node.name) == Label.name and not any(before[:-1] + after):
        return view(graph.assembly.label(node, graph.views.plain(node, x), before[-1], 0, neutral))
    if neutral != 0 or rank == 2:
        return _layer(graph, node, x, list(zip(before[1:], after[1:], strict=True)), neutral)
    first = not (before[1] or after[1]) and (not x.straight or bool(before[-1] or after[-1]))
    image = graph.views.channels_last(node, x) if first else graph.views.plain(node, x)
    if not first and (before[-1] or after[-1]):
        return _layer(graph, node, x, list(zip(before[1:], after[1:], strict=True)), neutral)
    places = range(2, rank) if first else range(1, rank - 1)
    y = graph.assembly.pad(node, image, (*(before[place] for place in places), *(after[place] for place in places)))
    return channels_first(y) if first else view(y)


def _layer(graph: Reading, node: Node, x: View, sides: list[tuple[int, int]], value: float) -> View:
    """A layer that puts ``value`` around a tensor: ``sides`` are the counts (before, after) for each of its axes."""
    x = graph.views.ordered(node, x)
    own = [(0, 0)] * len(sides)
    for side, axis in zip(sides, x.order, strict=True):
        own[axis] = side
    return View(graph.assembly.padded(node, x.x, own, value), x.order)


def _pads(node: Node, values: Values, rank: int) -> Axes:
    """All before, then all after, including the batch axis."""
    if values[1] is None:
        pads = integers(node, "pads", (-1,) * (2 * rank), 0)
        if -1 in pads:
            raise node.bad("no pads", "an attribute or an input")
        return pads
    array: Array = constant(node, values[1], "pads").array
    axes: Axes = tuple(range(rank))
    if values[3] is not None:
        given = constant(node, values[3], "axes").array
        if given.dtype not in (np.int64, np.int32) or given.size > rank:
            raise node.bad(f"axes of {given.dtype} {given.shape}", f"at most {rank} whole numbers")
        axes = tuple(int(axis) + rank if axis < 0 else int(axis) for axis in given.reshape(-1))
    if array.dtype != np.int64 or array.size != 2 * len(axes) or not all(0 <= axis < rank for axis in axes) or len(set(axes)) != len(axes):
        raise node.bad(f"pads of {array.dtype} {array.shape}", f"{2 * len(axes)} of int64")
    flat = [int(value) for value in array.reshape(-1)]
    if not all(0 <= value < 1 << 31 for value in flat):
        raise node.unsupported(f"pads {flat}", "0 or more")
    sides = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        sides[axis], sides[rank + axis] = flat[place], flat[len(axes) + place]
    return tuple(sides)


READERS = {
    "Pad": Handler(_pad, (1, 4), frozenset({"mode", "pads", "value"})),
}
