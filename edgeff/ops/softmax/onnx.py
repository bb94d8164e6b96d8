"""Softmax in ONNX: Softmax, and QLinearSoftmax of com.microsoft."""

from __future__ import annotations

from math import prod

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, dequantised, quantised
from edgeff.formats.onnx.reading import Handler, Reading, Values, real, whole
from edgeff.formats.onnx.views import Seen, View, view
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops import Operator
from edgeff.ops.softmax import Softmax


def over_last(graph: Reading, node: Node, op: Operator, x: View) -> View:
    """A layer of ``op``, a softmax, over the last axis of ``x`` or the one that is longer than 1."""
    shape = x.shape
    if shape is None:
        raise node.unsupported("an input of unknown shape", "a model whose input has a shape")
    axis = whole(node, "axis", 1 if graph.opset < 13 else -1)
    place = axis - 1 if axis > 0 else axis + len(shape)
    if place == len(shape) - 1 and prod(shape) != shape[-1] and graph.opset >= 13:
        return view(graph.assembly.softmax(node, graph.views.plain(node, x), op))
    if not 0 <= place < len(shape) or axis == 0 or any(size != 1 for other, size in enumerate(shape) if other != place):
        raise node.unsupported(f"an axis that is not the last, of an input of shape {shape}", "the last axis, or the one longer than 1")
    if len(shape) == 1:
        return view(graph.assembly.softmax(node, graph.views.plain(node, x), op))
    flat = graph.assembly.reshape(graph.views.beside(node, "reshape"), graph.views.plain(node, x), (shape[place],))
    return graph.views.reshaped(graph.views.beside(node, "view"), view(graph.assembly.softmax(node, flat, op)), shape)


def _softmax(graph: Reading, node: Node, values: Values) -> Seen:
    return over_last(graph, node, Softmax(), real(node, values[0]))


def _qlinear_softmax(graph: Reading, node: Node, values: Values) -> Seen:
    x = dequantised(graph, node, values[0], (values[1], values[2]))
    return quantised(graph, node, over_last(graph, node, Softmax(), x), activation_quant(graph, node, (values[3], values[4])))


READERS = {
    "QLinearSoftmax": Handler(_qlinear_softmax, (4, 5), frozenset({"axis", "opset"}), MICROSOFT),
    "Softmax": Handler(_softmax, (1, 1), frozenset({"axis"})),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.finish(layer, "Softmax", [graph.read(layer.inputs[0])], axis=-1)
