"""ReLU and ReLU6 in ONNX: Relu, and Clip between 0 and 6 or from 0 up. If it can be fused into the layer before, it is not a layer."""

from __future__ import annotations

from math import inf

import numpy as np

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, number, optional, real
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.kernels.activation import ACTIVATIONS, RELU, find_clamp
from edgeff.ops import record
from edgeff.ops.relu import Relu


def _relu(graph: Reading, node: Node, values: Values) -> Seen:
    x = real(node, values[0])
    return x.like(graph.assembly.clamp(node, x.x, RELU))


def _clip(graph: Reading, node: Node, values: Values) -> Seen:
    """One of the activation functions, by its limits, which are attributes before opset 11."""
    x, largest = real(node, values[0]), float(np.finfo(np.float32).max)
    ends = []
    for name, value, default in (("min", values[1], -largest), ("max", values[2], largest)):
        end = optional(node, value, name)
        ends.append(number(node, name, default) if end is None else node.scalar(end, name))
    low, high = ends
    function = find_clamp(-inf if low <= -largest else low, inf if high >= largest else high)
    if function is None or not function.clamps:
        known = " or ".join(f"{known.low:g} to {known.high:g}" for known in ACTIVATIONS.values() if known.clamps)
        raise node.unsupported(f"values clipped to {low:g} .. {high:g}", known)
    return x.like(graph.assembly.clamp(node, x.x, function))


READERS = {
    "Clip": Handler(_clip, (1, 3), frozenset({"min", "max"})),
    "Relu": Handler(_relu, (1, 1)),
}


def write(graph: Graph, layer: Layer) -> None:
    """A layer of its own: the operator is the activation."""
    layout = graph.elementwise(layer.inputs)
    x = graph.read(layer.inputs[0], layout)
    function = record(layer, Relu).function
    graph.finish(layer, function.onnx, [x, *graph.limits(function)], layout, alone=True)
