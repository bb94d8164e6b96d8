"""Padding as a layer in TFLite: PADV2, which ``formats.tflite.padding`` reads."""

from __future__ import annotations

import numpy as np

from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.pad import Pad


def write(graph: Graph, layer: Layer) -> None:
    op, quant = record(layer, Pad), layer.quant.get("output")
    rows = graph.constant(f"{layer.name}.pads", np.array([(0, 0), *op.sides], np.int32))
    number = np.array([op.value], np.float32)
    if quant is not None:
        number = np.array([op.steps(quant.scale[0], quant.zero_point, quant.dtype)], quant.dtype)
    value = graph.constant(f"{layer.name}.value", number, quant)
    graph.operator("PADV2", [graph.source(layer), rows, value], graph.output(layer), "PadV2Options")
