"""Activation functions alone in TFLite: RELU, RELU6. If it can be fused into the layer before, it is not a layer."""

from __future__ import annotations

from functools import partial

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.kernels.activation import ACTIVATIONS, RELU, ActivationFunction
from edgeff.ops import record
from edgeff.ops.relu import Relu


def _clamp(function: ActivationFunction, assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x = node.activation(values[0])
    if function is not RELU and x.integer and node.output.quant != x.quant:
        why = f"a {node.operator} that changes the scale, which TFLM and LiteRT read differently"
        raise node.unsupported(why, "one scale, a QUANTIZE before it")
    return assembly.clamp(node, x, function)


READERS = {
    function.tflite: Handler(partial(_clamp, function), (1, 1), schema.BuiltinOptions.NONE)
    for function in ACTIVATIONS.values()
    if function.clamps
}


def write(graph: Graph, layer: Layer) -> None:
    """int8: TFLM's RELU changes the scale, its RELU6 does not, so that a QUANTIZE does it before (rounding once, as one layer would)."""
    x, quant = graph.source(layer), layer.quant.get("output")
    function = record(layer, Relu).function
    before = graph.quants[layer.inputs[0]]
    if quant != before and (function is not RELU or (quant and before and quant.dtype != before.dtype)):
        x = graph.operator("QUANTIZE", [x], graph.between(layer, "rescaled", layer.shape, quant), "QuantizeOptions", version=1)
    graph.operator(function.tflite, [x], graph.output(layer))
