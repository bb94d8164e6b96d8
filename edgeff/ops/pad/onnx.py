"""Padding as a layer in ONNX: Pad, which ``formats.onnx.padding`` reads."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.pad import Pad


def write(graph: Graph, layer: Layer) -> None:
    op = record(layer, Pad)
    before, after = ([side[end] for side in op.sides] for end in (0, 1))
    pads = graph.constant(f"{layer.name}.pads", np.array([0, *before, 0, *after], np.int64))
    value = graph.constant(f"{layer.name}.value", np.array(op.value, np.float32))
    graph.finish(layer, "Pad", [graph.read(layer.inputs[0]), pads, value], mode="constant")
