"""The parametric ReLU in TFLite: PRELU."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.pairwise import reader
from edgeff.ir import Layer
from edgeff.ops.prelu import Prelu

READERS = {"PRELU": reader(Prelu(), "NONE")}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("PRELU", [graph.indices[name] for name in layer.inputs], graph.output(layer), version=1)
