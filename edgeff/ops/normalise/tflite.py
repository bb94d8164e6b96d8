"""Normalise layers in TFLite: the five operators MUL, MEAN, SQRT, ADD and DIV of u / (sqrt(mean(u * u)) + eps)."""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.conventions import check_finite, short
from edgeff.formats.tflite.arithmetic import channels
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, fused, fused_option, only_fused
from edgeff.formats.tflite.pairwise import folds, pairwise
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Value
from edgeff.ir import Array, Layer
from edgeff.ops import record
from edgeff.ops.mul import Mul
from edgeff.ops.normalise import Normalise


def _sqrt(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    return assembly.step(node, node.present(values[0]), "mean", "root")


def _div(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    divisor = values[1]
    if isinstance(divisor, Constant):
        return _by_constant(assembly, node, node.real(values[0]), divisor)
    only_fused(node, "NONE")
    return assembly.divide(node, node.real(values[0]), node.present(values[1]))


def _by_constant(assembly: Assembly, node: TfliteNode, x: Activation, divisor: Constant) -> Value:
    """A factor on the layer before, or a product with the reciprocals."""
    if divisor.array.dtype != np.float32 or not divisor.array.all():
        raise node.unsupported("a divisor that is not float32 or has a 0 in it", "float32 numbers other than 0")
    with np.errstate(over="ignore"):
        reciprocals: Array = np.float32(1.0) / divisor.array
    check_finite(reciprocals, f"node {short(node.name)}, 1 over its divisor")
    if folds(assembly, node, Mul, x, divisor):
        return fused(assembly, node, assembly.affine(node, x, 1.0 / channels(node, divisor).astype(np.float64), np.zeros(1)))
    return fused(assembly, node, pairwise(assembly, node, Mul(), [x, Constant(reciprocals)]))


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
