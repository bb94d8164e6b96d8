"""The hard swish in ONNX: HardSwish, from opset 14 on."""

from __future__ import annotations

from edgeff.formats.onnx.elementwise import reader
from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops.hard_swish import HardSwish

READERS = {"HardSwish": reader(lambda node: HardSwish())}


def write(graph: Graph, layer: Layer) -> None:
    graph.unary(layer, "HardSwish")
