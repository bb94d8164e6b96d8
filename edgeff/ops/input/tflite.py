"""Further inputs in TFLite: inputs of the subgraph."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer


def write(graph: Graph, layer: Layer) -> None:
    graph.inputs.append(graph.output(layer))
