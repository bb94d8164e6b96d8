"""The logistic function in ONNX: Sigmoid, and QLinearSigmoid of com.microsoft."""

from __future__ import annotations

from edgeff.formats.onnx.elementwise import quantised_reader, reader
from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.logistic import Logistic

READERS = {
    "QLinearSigmoid": quantised_reader(lambda node: Logistic()),
    "Sigmoid": reader(lambda node: Logistic()),
}


def write(graph: Graph, layer: Layer) -> None:
    graph.unary(layer, "Sigmoid")
