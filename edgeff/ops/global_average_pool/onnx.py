"""Means over all positions in ONNX: GlobalAveragePool, ReduceMean, and QLinearGlobalAveragePool of com.microsoft.

A ReduceMean over all elements is a step of a normalise layer.
"""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, dequantised, first, last, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, flag, real
from edgeff.formats.onnx.views import Seen, View, view
from edgeff.formats.onnx.windows import as_image, positions
from edgeff.formats.values import Moment, Node
from edgeff.ir import Layer


def global_average(graph: Reading, node: Node, x: View, *, keep: bool = True) -> View:
    """The mean of each channel of (C, H, W) or (C, L): (C, 1, 1), (C, 1), or (C,)."""
    rank = len(positions(node, x)) + 1
    y = graph.assembly.global_average_pool(node, as_image(graph, node, x))
    return graph.views.reshaped(graph.views.beside(node, "view"), view(y), (*(y.shape or ()), *(1,) * (rank - 1))) if keep else view(y)


def _global_average_pool(graph: Reading, node: Node, values: Values) -> Seen:
    return global_average(graph, node, real(node, values[0]))


def _qlinear_global_average_pool(graph: Reading, node: Node, values: Values) -> Seen:
    x = first(graph, node, dequantised(graph, node, values[0], (values[1], values[2])))
    y = global_average(graph, node, x)
    return last(graph, node, quantised(graph, node, y, activation_quant(graph, node, (values[3], values[4]))))


def _reduce_mean(graph: Reading, node: Node, values: Values) -> Seen:
    """The second step of a normalise layer, or the mean over all positions of an image in either layout."""
    axes = node.attributes.get("axes")
    if values[1] is not None:
        axes = constant(node, values[1], "axes").array.reshape(-1)[:8].tolist()
    keep = flag(node, "keepdims", 1)
    if flag(node, "noop_with_empty_axes") or not isinstance(axes, list) or not all(isinstance(axis, int) for axis in axes):
        raise node.unsupported("a mean over axes that are not given", "the positions of an image, or the last axis")
    value = values[0]
    if isinstance(value, Moment):
        if not value.over_all(axes) or not keep:
            raise node.unsupported("a mean over other axes", "all axes but the batch, kept")
        return graph.assembly.step(node, value, "square", "mean")
    x = real(node, value)
    rank = len(positions(node, x)) + 1
    places = sorted(axis - 1 if axis > 0 else axis + rank for axis in axes)
    if 0 not in places and places == list(range(1, rank)):
        return global_average(graph, node, x, keep=keep)
    if places == list(range(rank - 1)):  # channels last
        moved = graph.views.transposed(graph.views.beside(node, "transpose"), x, (rank - 1, *range(rank - 1)))
        y = global_average(graph, node, moved, keep=False)
        shape = y.shape or ()
        return graph.views.reshaped(graph.views.beside(node, "view"), y, (*(1,) * (rank - 1), *shape)) if keep else y
    raise node.unsupported(f"a mean over axes {axes} of an input of shape {x.shape}, without the batch axis", "all positions of an image")


READERS = {
    "GlobalAveragePool": Handler(_global_average_pool, (1, 1)),
    "QLinearGlobalAveragePool": Handler(_qlinear_global_average_pool, (4, 5), frozenset({"channels_last"}), MICROSOFT),
    "ReduceMean": Handler(_reduce_mean, (1, 2), frozenset({"axes", "keepdims", "noop_with_empty_axes"})),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.pooled(layer, "GlobalAveragePool", layer.inputs[0])
