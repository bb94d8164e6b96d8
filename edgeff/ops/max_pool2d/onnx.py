"""Maxima over windows in ONNX: MaxPool, GlobalMaxPool over a whole image, and ReduceMax over neighbouring axes."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, constant, flag, real
from edgeff.formats.onnx.views import Seen, view
from edgeff.formats.onnx.windows import POOL, as_image, as_tensor, pool, positions, two, window_attributes
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.max_pool2d import MaxPool2d


def _max_pool(graph: Reading, node: Node, values: Values) -> Seen:
    if flag(node, "storage_order"):
        raise node.unsupported("storage_order 1", "0")
    x = activation(node, values[0])
    if x.x.integer and x.x.quant is None:
        raise node.unsupported("integers without a scale", "a DequantizeLinear at the input of the model")
    return pool(graph, node, x, MaxPool2d)


def _global_max_pool(graph: Reading, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    sizes = positions(node, x)
    image = as_image(graph, node, x)
    y = graph.assembly.pool2d(node, MaxPool2d, image, two(sizes, 1), (1, 1), (0, 0, 0, 0))
    return as_tensor(graph, node, y, len(sizes) + 1)


def _reduce_max(graph: Reading, node: Node, values: Values) -> Seen:
    x, axes = real(node, values[0]), node.attributes.get("axes")
    if values[1] is not None:
        axes = constant(node, values[1], "axes").array.reshape(-1)[:8].tolist()
    shape, keep = x.shape or (), flag(node, "keepdims", 1)
    rank = 1 + len(shape)
    if not isinstance(axes, list) or not axes or not all(isinstance(axis, int) and -rank <= axis < rank for axis in axes):
        raise node.unsupported("a maximum over axes that are not given", "neighbouring axes, not the batch")
    order = sorted({axis % rank - 1 for axis in axes})
    y = view(graph.assembly.reduced(node, MaxPool2d, graph.views.plain(node, x), order))
    kept = tuple(1 if axis in order else size for axis, size in enumerate(shape))
    return graph.views.reshaped(graph.views.beside(node, "view"), y, kept) if keep else y


READERS = {
    "ReduceMax": Handler(_reduce_max, (1, 2), frozenset({"axes", "keepdims", "noop_with_empty_axes"})),
    "GlobalMaxPool": Handler(_global_max_pool, (1, 1)),
    "MaxPool": Handler(_max_pool, (1, 1), POOL | {"storage_order"}),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.finish(
        layer, "MaxPool", [graph.read(layer.inputs[0], "channels_first")], "channels_first", **window_attributes(record(layer, MaxPool2d))
    )
