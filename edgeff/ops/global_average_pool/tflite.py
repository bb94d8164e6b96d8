"""Means over all positions in TFLite: MEAN over the image, with or without the axes kept; over all elements it is a step of a normalise
layer, and in float over other neighbouring axes an average pool.
"""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Moment, Node, Value
from edgeff.ir import Layer
from edgeff.ops.average_pool2d import AveragePool2d


def _mean(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    constant, keep = node.constant(values[1], "axis").array, bool(node.attributes.get("keep_dims"))
    if isinstance(values[0], Moment):
        if not values[0].over_all(constant.reshape(-1)[:8].tolist()) or not keep:
            raise node.unsupported("a mean over other axes", "all axes but the batch, kept")
        return assembly.step(node, values[0], "square", "mean")
    x = node.activation(values[0])
    rank = 1 + len(x.shape or ())
    axes = sorted({axis % rank for axis in constant.reshape(-1)[:8].tolist() if -rank <= axis < rank})
    known, whole = (rank, axes) in ((4, [1, 2]), (3, [1])), constant.dtype == np.int32 and constant.size == len(axes)
    if x.shape is None or not whole:
        raise node.unsupported(f"a mean of {x.shape} over axes {constant.reshape(-1)[:8].tolist()}", "neighbouring axes after the batch")
    if not known and x.quant is None:
        return assembly.reduced(node, AveragePool2d, x, [axis - 1 for axis in axes])
    if not known:
        return assembly.averaged(node, x, [axis - 1 for axis in axes])
    if rank == 3:
        x = assembly.reshape(Node(f"{node.name}_image", "", {}, ()), x, (x.shape[0], 1, x.shape[1]))
    return assembly.global_average_pool(node, x)


READERS = {
    "MEAN": Handler(_mean, (2, 2), schema.BuiltinOptions.ReducerOptions, lambda table: {"keep_dims": bool(table.number(0, "bool"))}),
}


def write(graph: Graph, layer: Layer) -> None:
    over = graph.constant(f"{layer.name}.axes", np.array([1, 2], np.int32))
    graph.operator("MEAN", [graph.source(layer), over], graph.output(layer), "ReducerOptions", keepDims=False)
