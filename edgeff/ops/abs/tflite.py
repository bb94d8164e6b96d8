"""The absolute value in TFLite: ABS."""

from __future__ import annotations

from edgeff.formats.tflite.elementwise import reader
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.abs import Abs

READERS = {"ABS": reader(lambda node: Abs(), "AbsOptions")}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("ABS", [graph.source(layer)], graph.output(layer), "AbsOptions")
