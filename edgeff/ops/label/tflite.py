"""The neutral label in TFLite: a PADV2, which ``formats.tflite.padding`` reads; float32 only."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.label import Label


def write(graph: Graph, layer: Layer) -> None:
    graph.float_only(layer)
    x, before = graph.source(layer), graph.shapes[layer.inputs[0]]
    if len(before) > len(layer.shape):
        x = graph.reshape(x, layer, "flat", (prod(before),), graph.quants[layer.inputs[0]])
    rows = graph.constant(f"{layer.name}.pads", np.array([[0, 0]] * len(layer.shape) + [[record(layer, Label).classes, 0]], np.int32))
    value = graph.constant(f"{layer.name}.neutral", np.array([record(layer, Label).neutral], np.float32))
    graph.operator("PADV2", [x, rows, value], graph.output(layer), "PadV2Options")
