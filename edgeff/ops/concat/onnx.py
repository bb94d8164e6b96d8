"""Concatenations in ONNX: Concat, and QLinearConcat of com.microsoft. A Concat of constants is part of a shape."""

from __future__ import annotations

from dataclasses import replace

from edgeff.errors import Unsupported, short
from edgeff.formats.onnx.constants import concatenated
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, dequantised, quantised
from edgeff.formats.onnx.reading import MOST_INPUTS, Handler, Reading, Values, activation, real, whole
from edgeff.formats.onnx.views import Seen, View, view
from edgeff.formats.values import Constant, Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.concat import Concat


def joined(graph: Reading, node: Node, parts: list[View]) -> View:
    """The tensors joined along the attribute ``axis``, in their common order of axes or as they stand."""
    rank = 1 + len(parts[0].shape or ())
    axis = whole(node, "axis", 1)
    axis += rank if axis < 0 else 0
    if not 1 <= axis < rank:
        raise node.unsupported(f"axis {axis} of {rank}", "an axis after the batch")
    parts = [graph.views.ordered(node, part) for part in parts]
    order = parts[0].order
    if all(part.order == order for part in parts):
        return View(graph.assembly.concat(node, [part.x for part in parts], order[axis - 1]), order)
    return view(graph.assembly.concat(node, [graph.views.plain(node, part) for part in parts], axis - 1))


def _concat(graph: Reading, node: Node, values: Values) -> Seen:
    if all(isinstance(value, Constant) for value in values if value is not None):
        return concatenated(node, values)
    return joined(graph, node, [real(node, activation(node, value)) for value in values if value is not None])


def _qlinear_concat(graph: Reading, node: Node, values: Values) -> Seen:
    """The output's scale and zero point, then each part with its own; a part in another scale is brought to that of the output."""
    quant = activation_quant(graph, node, (values[0], values[1]))
    given = [value for value in values[2:] if value is not None]
    parts = []
    for place in range(0, len(given) - 2, 3):
        x = dequantised(graph, node, given[place], (given[place + 1], given[place + 2]))
        parts.append(quantised(graph, replace(node, name=f"{node.name}_{place // 3}"), x, quant))
    if not parts:
        raise node.bad("no tensors to join", "one or more, each with its scale and zero point")
    return quantised(graph, node, joined(graph, node, [part.like(replace(part.x, integer=False)) for part in parts]), quant)


READERS = {
    "Concat": Handler(_concat, (1, MOST_INPUTS), frozenset({"axis"})),
    "QLinearConcat": Handler(_qlinear_concat, (5, 3 * MOST_INPUTS + 2), frozenset({"axis"}), MICROSOFT),
}


def write(graph: Graph, layer: Layer) -> None:
    if any(map(graph.is_constant, layer.inputs)):
        where = f"layer {short(layer.name)}, {layer.kind}"
        raise Unsupported(
            where, got="a constant among its inputs", allowed="activations in ONNX files", next_step="write it as TFLite or C"
        )
    graph.finish(layer, "Concat", [graph.read(name) for name in layer.inputs], axis=record(layer, Concat).axis + 1)
