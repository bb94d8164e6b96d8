"""Sums in TFLite: ADD. A constant is the bias of the layer before it, or the last but one operator of a normalise layer."""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.arithmetic import channels, real
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, only_fused
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Constant, Moment, Value
from edgeff.ir import Layer


def _add(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    first, second = (values[1], values[0]) if isinstance(values[0], Constant) else (values[0], values[1])
    if isinstance(first, Moment):
        only_fused(node, "NONE")
        return assembly.step(node, first, "root", "divisor", node.scalar(second, "eps"))
    if isinstance(second, Constant):
        return fused(assembly, node, assembly.affine(node, real(node, first), np.ones(1), channels(node, second)))
    return fused(assembly, node, assembly.add(node, node.activation(first), node.activation(second)))


READERS = {
    "ADD": Handler(_add, (2, 2), schema.BuiltinOptions.AddOptions, fused_option),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("ADD", [graph.indices[name] for name in layer.inputs], graph.output(layer), "AddOptions", **graph.fused(layer))
