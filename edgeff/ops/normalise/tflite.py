"""Normalise layers in TFLite: the five operators MUL, MEAN, SQRT, ADD and DIV of u / (sqrt(mean(u * u)) + eps)."""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused_option, only_fused
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.normalise import Normalise


def _sqrt(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    return assembly.step(node, node.present(values[0]), "mean", "root")


def _div(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    only_fused(node, "NONE")
    return assembly.divide(node, node.real(values[0]), node.present(values[1]))


READERS = {
    "DIV": Handler(_div, (2, 2), schema.BuiltinOptions.DivOptions, fused_option),
    "SQRT": Handler(_sqrt, (1, 1), schema.BuiltinOptions.NONE),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.float_only(layer)
    x = graph.source(layer)
    square = graph.operator("MUL", [x, x], graph.between(layer, "square", layer.shape, None), "MulOptions")
    one = (1,) * len(layer.shape)
    axis = graph.constant(f"{layer.name}.axis", np.arange(1, len(one) + 1, dtype=np.int32))
    mean = graph.operator("MEAN", [square, axis], graph.between(layer, "mean", one, None), "ReducerOptions", keepDims=True)
    root = graph.operator("SQRT", [mean], graph.between(layer, "root", one, None))
    eps = graph.constant(f"{layer.name}.eps", np.array([record(layer, Normalise).eps], np.float32))
    divisor = graph.operator("ADD", [root, eps], graph.between(layer, "divisor", one, None), "AddOptions")
    graph.operator("DIV", [x, divisor], graph.output(layer), "DivOptions")
