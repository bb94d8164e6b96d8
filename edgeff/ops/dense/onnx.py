"""Dense layers in ONNX: Gemm and MatMul, QLinearMatMul, and QGemm of com.microsoft.

A Gemm after a Flatten of a channels-first image gets its columns in the order of edgeff's image, so that nothing is transposed at run
time.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgeff.formats.conventions import check_finite, short
from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.quantised import MICROSOFT, activation_quant, bias_of, dequantised, quantised, weight, weight_of
from edgeff.formats.onnx.reading import Handler, Reading, Values, flag, number, optional, real
from edgeff.formats.onnx.views import Seen, View, view
from edgeff.formats.values import Constant, Node
from edgeff.ir import Array, Layer
from edgeff.ops.dense import Dense


def _transposed(matrix: Constant) -> Constant:
    """A matrix with its axes and its scales transposed."""
    quant = matrix.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=1 - quant.axis)
    return Constant(matrix.array.T, quant)


def _dense(graph: Reading, node: Node, x: View, weight: Constant, bias: Constant | None) -> View:
    """A dense layer on the elements of ``x`` as the graph orders them; ``weight`` is (n_in, n_out)."""
    shape = x.shape
    if weight.array.ndim != 2 or (shape is not None and shape[-1:] != weight.array.shape[:1]):
        raise node.bad(f"input {shape} times {weight.array.shape}", "(n_in,) times (n_in, n_out), without the batch axis")
    weight = _transposed(weight)
    places = graph.views.elements(x) if shape is not None and prod(shape) == weight.array.shape[1] else None
    if places is None:
        return view(graph.assembly.dense(node, graph.views.plain(node, x), weight, bias))
    graph.assembly.charge(weight.array.nbytes)
    columns = np.empty(weight.array.shape, weight.array.dtype)
    columns[:, places] = weight.array
    return view(graph.assembly.dense(node, x.x, replace(weight, array=columns), bias))


def _scaled(graph: Reading, node: Node, value: Constant, factor: float, name: str) -> Constant:
    """``value`` times Gemm's alpha or beta, in float32."""
    if factor == 1.0:
        return value
    if value.array.dtype != np.float32:
        raise node.unsupported(f"{name} of {factor:g} on a quantised tensor", f"{name} 1")
    graph.assembly.charge(value.array.nbytes)
    with np.errstate(over="ignore", invalid="ignore"):
        array: Array = value.array * np.float32(factor)
    check_finite(array, f"node {short(node.name)}, {name} times its tensor")
    return Constant(array)


def _with_attributes(graph: Reading, node: Node, x: View, weight: Constant, bias: Constant | None) -> View:
    """Gemm with its attributes, on a tensor of one axis."""
    if x.shape is not None and len(x.shape) != 1:
        raise node.bad(f"an input of shape {x.shape}, without the batch axis", "one axis: put a Flatten before it")
    if flag(node, "transA"):
        raise node.unsupported("transA of 1", "transA 0")
    if weight.array.ndim == 2 and flag(node, "transB"):
        weight = _transposed(weight)
    weight = _scaled(graph, node, weight, number(node, "alpha", 1.0), "alpha")
    if bias is not None:
        bias = _scaled(graph, node, bias, number(node, "beta", 1.0), "beta")
    return _dense(graph, node, x, weight, bias)


def _gemm(graph: Reading, node: Node, values: Values) -> Seen:
    return _with_attributes(
        graph, node, real(node, values[0]), weight(graph, node, values[1], Dense.least_weight), optional(node, values[2], "bias")
    )


def _matmul(graph: Reading, node: Node, values: Values) -> Seen:
    return _dense(graph, node, real(node, values[0]), weight(graph, node, values[1], Dense.least_weight), None)


def _qlinear_matmul(graph: Reading, node: Node, values: Values) -> Seen:
    x = dequantised(graph, node, values[0], (values[1], values[2]))
    y = _dense(graph, node, x, weight_of(graph, node, values[3], (values[4], values[5]), 1, Dense.least_weight), None)
    return quantised(graph, node, y, activation_quant(graph, node, (values[6], values[7])))


def _qgemm(graph: Reading, node: Node, values: Values) -> Seen:
    x = dequantised(graph, node, values[0], (values[1], values[2]))
    matrix = weight_of(graph, node, values[3], (values[4], values[5]), 0 if flag(node, "transB") else 1, Dense.least_weight)
    y = _with_attributes(graph, node, x, matrix, bias_of(graph, node, values[6], x, matrix))
    return y if values[7] is None else quantised(graph, node, y, activation_quant(graph, node, (values[7], values[8])))


READERS = {
    "Gemm": Handler(_gemm, (2, 3), frozenset({"alpha", "beta", "transA", "transB"})),
    "MatMul": Handler(_matmul, (2, 2)),
    "QGemm": Handler(_qgemm, (6, 9), frozenset({"alpha", "transA", "transB"}), MICROSOFT),
    "QLinearMatMul": Handler(_qlinear_matmul, (8, 8)),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.finish(layer, "Gemm", [graph.read(layer.inputs[0], "flat"), *graph.parameters(layer)], transB=1)
