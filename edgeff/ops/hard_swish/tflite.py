"""The hard swish in TFLite: HARD_SWISH."""

from __future__ import annotations

from edgeff.formats.tflite.elementwise import reader
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.hard_swish import HardSwish

READERS = {"HARD_SWISH": reader(lambda node: HardSwish(), "HardSwishOptions")}


def write(graph: Graph, layer: Layer) -> None:
    graph.operator("HARD_SWISH", [graph.source(layer)], graph.output(layer), "HardSwishOptions", version=1)
