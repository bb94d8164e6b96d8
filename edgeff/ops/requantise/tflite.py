"""Changes of scale in TFLite: QUANTIZE of a quantised tensor. QUANTIZE of a float tensor is the scale of the layer before it."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer


def _quantize(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x = node.activation(values[0])
    if x.integer and x.quant is not None and node.output.quant is not None and node.output.dtype in ("int8", "int16"):
        return assembly.requantise(node, x, node.output.quant)
    return assembly.renamed(node, x)


READERS = {
    "QUANTIZE": Handler(_quantize, (1, 1), schema.BuiltinOptions.QuantizeOptions),
}


def write(graph: Graph, layer: Layer) -> None:
    """Nothing in float: the layer's tensor is its input's."""
    if graph.int8:
        graph.operator("QUANTIZE", [graph.source(layer)], graph.output(layer), "QuantizeOptions", version=1)
    else:
        graph.indices[layer.name] = graph.source(layer)
