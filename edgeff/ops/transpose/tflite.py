"""Transpose in TFLite: TRANSPOSE."""

from __future__ import annotations

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Turned, Value
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.transpose import Transpose


def _transpose(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, perm = node.activation(values[0]), node.constant(values[1], "order of axes").array
    rank = 1 + len(x.shape or ())
    turned = perm.shape == (rank,) and perm[0] != 0
    if perm.dtype != np.int32 or perm.shape != (rank,) or (turned and sorted(perm.tolist()) != list(range(rank))):
        raise node.unsupported(f"the order of axes {perm.dtype} {perm.reshape(-1)[:8].tolist()}", "each axis once")
    if turned:
        return Turned(assembly.exact(node, x), tuple(perm.tolist()))
    return assembly.transpose(node, x, tuple(axis - 1 for axis in perm[1:].tolist()))


READERS = {
    "TRANSPOSE": Handler(_transpose, (2, 2), schema.BuiltinOptions.TransposeOptions),
}


def write(graph: Graph, layer: Layer) -> None:
    perm = graph.constant(f"{layer.name}.perm", np.array([0, *(axis + 1 for axis in record(layer, Transpose).axes)], np.int32))
    graph.operator("TRANSPOSE", [graph.source(layer), perm], graph.output(layer), "TransposeOptions")
