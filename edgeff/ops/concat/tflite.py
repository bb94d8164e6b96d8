"""Concatenations in TFLite: CONCATENATION, and PACK, which adds an axis first. A PACK of constant numbers is part of a shape."""

from __future__ import annotations

from typing import Any

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.constants import packed
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, alike, fused, fused_option
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Constant, Node, Recalled, Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.concat import Concat

MOST = 64


def _axis(node: Node, rank: int) -> int:
    """The attribute ``axis`` of a tensor of ``rank`` axes, counted without the batch."""
    axis = int(node.attributes.get("axis", 0))
    axis += rank if axis < 0 else 0
    if not 1 <= axis < rank:
        raise node.unsupported(f"axis {axis} of {rank}", "an axis after the batch")
    return axis - 1


def _concatenation(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    past, *rest = (value for value in values if value is not None)
    if isinstance(past, Recalled):
        if len(rest) != 1:
            raise node.unsupported(f"a variable and {len(rest)} inputs", "a variable and one input after it")
        return fused(assembly, node, assembly.recent(node, past, node.activation(rest[0]), _axis(node, len(node.output.shape))))
    xs = alike(assembly, node, [value for value in values if value is not None])
    return fused(assembly, node, assembly.concat(node, xs, _axis(node, len(node.output.shape))))


def _pack(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    given = [value for value in values if value is not None]
    if all(isinstance(value, Constant) for value in given):
        return packed(node, given)
    if len(given) == 1:  # no element moves, whatever the axis: the batch too is of length 1
        return assembly.reshape(node, node.activation(given[0]), node.output.shape[1:])
    xs, axis = alike(assembly, node, given), _axis(node, len(node.output.shape))
    own = [Node(f"{node.name}_{number}", "", {}, ()) for number in range(len(xs))]
    longer = [assembly.reshape(n, x, (*(x.shape or ())[:axis], 1, *(x.shape or ())[axis:])) for n, x in zip(own, xs, strict=True)]
    return assembly.concat(node, longer, axis)


def _concatenation_options(table: Table) -> dict[str, Any]:
    return {"axis": int(table.number(0, "int32")), **fused_option(table, 1)}


READERS = {
    "CONCATENATION": Handler(_concatenation, (1, MOST), schema.BuiltinOptions.ConcatenationOptions, _concatenation_options),
    "PACK": Handler(_pack, (1, MOST), schema.BuiltinOptions.PackOptions, lambda table: {"axis": int(table.number(1, "int32"))}),
}


def write(graph: Graph, layer: Layer) -> None:
    inputs = [graph.indices[name] for name in layer.inputs]
    graph.operator("CONCATENATION", inputs, graph.output(layer), "ConcatenationOptions", axis=record(layer, Concat).axis + 1)
