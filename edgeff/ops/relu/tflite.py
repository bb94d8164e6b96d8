"""ReLU and ReLU6 in TFLite: RELU and RELU6. Where the layer before it can take it on, it is no layer."""

from __future__ import annotations

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, Operator, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.kernels.activation import RELU, RELU6
from edgeff.ops import record
from edgeff.ops.relu import Relu


def _relu(assembly: Assembly, node: Operator, values: Values) -> Value:
    return assembly.clamp(node, node.activation(values[0]), RELU)


def _relu6(assembly: Assembly, node: Operator, values: Values) -> Value:
    x = node.activation(values[0])
    if x.integer and node.output.quant != x.quant:
        raise node.unsupported("a RELU6 that changes the scale, which TFLM and LiteRT read differently", "one scale, a QUANTIZE before it")
    return assembly.clamp(node, x, RELU6)


READERS = {
    "RELU": Handler(_relu, (1, 1), schema.BuiltinOptions.NONE),
    "RELU6": Handler(_relu6, (1, 1), schema.BuiltinOptions.NONE),
}


def write(graph: Graph, layer: Layer) -> None:
    """int8: TFLM's RELU changes the scale, its RELU6 does not, so that a QUANTIZE does it before (rounding once, as one layer would)."""
    x, quant = graph.source(layer), layer.quant.get("output")
    function = record(layer, Relu).function
    if function is not RELU and quant != graph.quants[layer.inputs[0]]:
        x = graph.operator("QUANTIZE", [x], graph.between(layer, "rescaled", layer.shape, quant), "QuantizeOptions", version=1)
    graph.operator(function.tflite, [x], graph.output(layer))
