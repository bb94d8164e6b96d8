"""Maxima over windows in TFLite: MAX_POOL_2D."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.windows import pool, write_pool
from edgeff.ir import Layer
from edgeff.ops.max_pool2d import MaxPool2d

READERS = {"MAX_POOL_2D": pool(MaxPool2d)}


def write(graph: Graph, layer: Layer) -> None:
    write_pool(graph, layer, "MAX_POOL_2D", beyond="lowest")
