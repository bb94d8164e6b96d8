"""Transpose in ONNX: on a layer's output a view, which becomes a layer if its reader needs the elements moved; constants are transposed."""

from __future__ import annotations

from dataclasses import replace

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, activation, present
from edgeff.formats.onnx.views import Axes, Seen, Turned
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.transpose import Transpose


def _transpose(graph: Reading, node: Node, values: Values) -> Seen:
    value = present(node, values[0])
    if isinstance(value, Turned):
        rank = len(value.perm)
    else:
        rank = value.array.ndim if isinstance(value, Constant) else len(activation(node, value).shape or ()) + 1
    perm = node.attributes.get("perm", list(range(rank))[::-1])
    if not isinstance(perm, list) or sorted(perm) != list(range(rank)):
        raise node.bad(f"perm {str(perm)[:60]}", f"each of {rank} axes once")
    order: Axes = tuple(perm)
    if isinstance(value, Constant):
        quant = value.quant
        if quant is not None and quant.axis is not None:
            quant = replace(quant, axis=order.index(quant.axis))
        return Constant(value.array.transpose(order), quant)
    if isinstance(value, Turned):
        return graph.views.turned(node, value.x, tuple(value.perm[axis] for axis in order))
    return graph.views.turned(node, activation(node, value), order)


READERS = {
    "Transpose": Handler(_transpose, (1, 1), frozenset({"perm"})),
}


def write(graph: Graph, layer: Layer) -> None:
    perm = [0, *(axis + 1 for axis in record(layer, Transpose).axes)]
    graph.move(layer, "Transpose", (layer.inputs[0], "plain"), perm=perm)
