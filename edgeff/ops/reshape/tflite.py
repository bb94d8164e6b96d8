"""Reshapes in TFLite: RESHAPE, EXPAND_DIMS and SQUEEZE. The shape is that of the tensor they make."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer


def _reshape(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    shape = node.output.shape
    if len(shape) < 2:
        raise node.unsupported(f"a reshape to {shape}", "the batch axis kept")
    if node.operator == "RESHAPE" and values[1] is not None:
        sizes = node.constant(values[1], "shape").array.reshape(-1)[:8].tolist()
        if len(sizes) != len(shape) or any(size not in (-1, there) for size, there in zip(sizes[1:], shape[1:], strict=True)):
            raise node.bad(f"a shape of {sizes} for an output of {shape}", "the same sizes, or -1")
    return assembly.reshape(node, node.activation(values[0]), shape[1:])


READERS = {
    "EXPAND_DIMS": Handler(_reshape, (2, 2), schema.BuiltinOptions.ExpandDimsOptions),
    "RESHAPE": Handler(_reshape, (1, 2), schema.BuiltinOptions.ReshapeOptions),
    "SQUEEZE": Handler(_reshape, (1, 1), schema.BuiltinOptions.SqueezeOptions),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.reshaped(graph.source(layer), graph.output(layer), f"{layer.name}.shape", layer.shape)
