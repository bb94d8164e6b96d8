"""Sums in ONNX: Add, and QLinearAdd of com.microsoft.

The sum of two activations is a layer. A constant is the bias of the layer before it, or the last but one node of a normalise layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.formats.onnx.arithmetic import affine, by_channel
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, dequantised, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, real
from edgeff.formats.onnx.views import Seen, View
from edgeff.formats.values import Constant, Moment, Node
from edgeff.ir import Layer


def _total(graph: Reading, node: Node, a: View, b: View) -> View:
    """The sum of two tensors of one shape."""
    x, y, like = graph.views.aligned(node, a, b)
    return like.like(graph.assembly.add(node, x, y))


def _add(graph: Reading, node: Node, values: Values) -> Seen:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        eps = node.scalar(constant(node, second, "eps"), "eps")
        return graph.assembly.step(node, first, "root", "divisor", eps)
    x = real(node, first)
    if isinstance(second, View):
        return _total(graph, node, x, real(node, second))
    bias = constant(node, second, "bias")
    if x.shape is not None and len(x.shape) > 1 and bias.quant is None:
        return affine(graph, node, x, np.ones(1), by_channel(node, x, bias))
    if x.shape is not None and len(x.shape) > 1:
        bias = replace(bias, array=by_channel(node, x, bias))
    elif bias.array.ndim > 2:
        raise node.bad(f"a bias of shape {bias.array.shape} for an input of shape {x.shape}", "one axis, or two with the batch")
    return x.like(graph.assembly.add_bias(node, x.x, bias))


def _qlinear_add(graph: Reading, node: Node, values: Values) -> Seen:
    a, b = (dequantised(graph, node, values[first], (values[first + 1], values[first + 2])) for first in (0, 3))
    return quantised(graph, node, _total(graph, node, a, b), activation_quant(graph, node, (values[6], values[7])))


READERS = {
    "Add": Handler(_add, (2, 2)),
    "QLinearAdd": Handler(_qlinear_add, (7, 8), frozenset(), MICROSOFT),
}


def write(graph: Graph, layer: Layer) -> None:
    layout = graph.elementwise(layer.inputs)
    graph.finish(layer, "Add", [graph.read(name, layout) for name in layer.inputs], layout)
