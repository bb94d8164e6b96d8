"""Maxima over windows in TFLite: MAX_POOL_2D, and REDUCE_MAX over neighbouring axes."""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.windows import pool, write_pool
from edgeff.formats.values import Value
from edgeff.ir import Layer
from edgeff.ops.max_pool2d import MaxPool2d


def _reduce_max(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    axes, x = node.constant(values[1], "axis").array.reshape(-1), node.activation(values[0])
    rank = 1 + len(x.shape or ())
    if axes.dtype != np.int32 or not 0 < axes.size < rank or axes.min() < -rank or axes.max() >= rank:
        raise node.bad(f"axes {axes[:8].tolist()} of an input of {rank} axes", f"int32, -{rank} to {rank - 1}, not all of them")
    return assembly.reduced(node, MaxPool2d, x, sorted({int(axis) % rank - 1 for axis in axes}))


READERS = {
    "MAX_POOL_2D": pool(MaxPool2d),
    "REDUCE_MAX": Handler(_reduce_max, (2, 2), schema.BuiltinOptions.ReducerOptions),
}


def write(graph: Graph, layer: Layer) -> None:
    write_pool(graph, layer, "MAX_POOL_2D", beyond="lowest")
