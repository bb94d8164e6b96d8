"""Constants in TFLite: a tensor with data, with a batch axis where a reader has as many axes."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer


def write(graph: Graph, layer: Layer) -> None:
    graph.given(layer)
