"""The logistic function in TFLite: LOGISTIC."""

from __future__ import annotations

from edgeff.formats.tflite.elementwise import reader
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.logistic import Logistic

READERS = {"LOGISTIC": reader(lambda node: Logistic())}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("LOGISTIC", [graph.source(layer)], graph.output(layer))
