"""Maxima over windows in ONNX: MaxPool, and GlobalMaxPool over a whole image."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, flag, real
from edgeff.formats.onnx.views import Seen
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


READERS = {
    "GlobalMaxPool": Handler(_global_max_pool, (1, 1)),
    "MaxPool": Handler(_max_pool, (1, 1), POOL | {"storage_order"}),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.finish(
        layer, "MaxPool", [graph.read(layer.inputs[0], "channels_first")], "channels_first", **window_attributes(record(layer, MaxPool2d))
    )
