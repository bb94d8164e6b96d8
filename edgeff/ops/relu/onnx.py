"""ReLU and ReLU6 in ONNX: Relu, and Clip between 0 and 6 or from 0 up. Where the layer before it can take it on, it is no layer."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.reading import Graph, Handler, Values, number, optional, real
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Node


def _relu(graph: Graph, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    return x.like(graph.assembly.relu(node, x.x))


def _clip(graph: Graph, node: Node, values: Values) -> Seen:
    """ReLU6, or ReLU where there is no upper end; the ends are attributes before opset 11."""
    x, largest = real(node, values[0]), float(np.finfo(np.float32).max)
    ends = []
    for name, value, default in (("min", values[1], -largest), ("max", values[2], largest)):
        end = optional(node, value, name)
        ends.append(number(node, name, default) if end is None else node.scalar(end, name))
    low, high = ends
    if low != 0 or not (high == 6 or high >= largest):
        raise node.unsupported(f"values cut to {low:g} .. {high:g}", "min 0, and max 6 or none")
    return x.like(graph.assembly.relu(node, x.x, "relu6" if high == 6 else "relu"))


READERS = {
    "Clip": Handler(_clip, (1, 3), frozenset({"min", "max"})),
    "Relu": Handler(_relu, (1, 1)),
}
