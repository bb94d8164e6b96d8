"""The neutral label in ONNX: a Pad, which ``formats.onnx.padding`` reads."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.label import Label


def write(graph: Graph, layer: Layer) -> None:
    op = record(layer, Label)
    value = graph.constant(f"{layer.name}.neutral", np.array(op.neutral, np.float32))
    axes = len(layer.shape)
    pads = graph.constant(f"{layer.name}.pads", np.array([*[0] * axes, op.classes, *[0] * (axes + 1)], np.int64))
    graph.finish(layer, "Pad", [graph.read(layer.inputs[0], "flat" if axes == 1 else "plain"), pads, value], mode="constant")
