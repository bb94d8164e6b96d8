"""Averages over windows in TFLite: AVERAGE_POOL_2D."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.windows import pool, write_pool
from edgeff.ir import Layer
from edgeff.ops.average_pool2d import AveragePool2d

READERS = {"AVERAGE_POOL_2D": pool(AveragePool2d)}


def write(graph: Graph, layer: Layer) -> None:
    write_pool(graph, layer, "AVERAGE_POOL_2D", beyond=None)
