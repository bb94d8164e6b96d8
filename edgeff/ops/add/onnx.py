"""Sums in ONNX: Add, and QLinearAdd of com.microsoft.

The sum of two activations is a layer. A float constant for each channel is the bias of the layer before it, or the last but one node of a
normalise layer; any other constant is a layer that the sum reads.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.arithmetic import affine
from edgeff.formats.onnx.pairwise import folded, pairwise, writer
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, pair_of, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, real
from edgeff.formats.onnx.views import Seen
from edgeff.formats.values import Constant, Moment, Node
from edgeff.ops.add import Add


def _add(graph: Reading, node: Node, values: Values) -> Seen:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        eps = node.scalar(constant(node, second, "eps"), "eps")
        return graph.assembly.step(node, first, "root", "divisor", eps)
    x = real(node, first)
    if not isinstance(second, Constant):
        return pairwise(graph, node, Add(), values)
    if (second.quant is not None and second.array.dtype == np.int32) or x.shape is None:
        return x.like(graph.assembly.add_bias(node, x.x, second))
    vector = folded(graph, node, Add, x, second)
    if vector is None:
        return pairwise(graph, node, Add(), values)
    if len(x.shape) > 1:
        return affine(graph, node, x, np.ones(1), vector)
    return x.like(graph.assembly.add_bias(node, x.x, Constant(vector)))


def _qlinear_add(graph: Reading, node: Node, values: Values) -> Seen:
    y = pairwise(graph, node, Add(), pair_of(graph, node, values))
    return quantised(graph, node, y, activation_quant(graph, node, (values[6], values[7])))


READERS = {
    "Add": Handler(_add, (2, 2)),
    "QLinearAdd": Handler(_qlinear_add, (7, 8), frozenset(), MICROSOFT),
}
write = writer("Add")
