"""Rows of earlier inputs in TFLite: a variable that is read, joined to the input, and assigned the last rows of both."""

from __future__ import annotations

import numpy as np

from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.recent import Recent


def write(graph: Graph, layer: Layer) -> None:
    kept, quant, rest = record(layer, Recent).kept, layer.quant.get("output"), layer.shape[1:]
    new, axes = layer.shape[0] - kept, len(layer.shape) + 1
    variable = graph.resource(f"{layer.name}.memory", (1, kept, *rest), quant)
    past = graph.operator("READ_VARIABLE", [variable], graph.between(layer, "past", (kept, *rest), quant), "ReadVariableOptions", version=1)
    y = graph.operator("CONCATENATION", [past, graph.source(layer)], graph.output(layer), "ConcatenationOptions", axis=1)
    lists = {"begin": (0, new, *(0,) * len(rest)), "end": (1, *layer.shape), "stride": (1,) * axes}
    where = [graph.constant(f"{layer.name}.{name}", np.array(numbers, np.int32)) for name, numbers in lists.items()]
    last = graph.between(layer, "last", (kept, *rest), quant)
    graph.operator("STRIDED_SLICE", [y, *where], last, "StridedSliceOptions")
    graph.assign(variable, last)
