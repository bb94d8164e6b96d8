"""Standardise layers in ONNX: LayerNormalization over all elements."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, number, optional, whole
from edgeff.formats.onnx.views import Seen, view
from edgeff.formats.values import Node
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.standardise import Standardise


def _layer_normalization(graph: Reading, node: Node, values: Values) -> Seen:
    """A standardise layer: over all axes but the batch, without parameters of its own."""
    x = graph.vector(node, values[0])
    if x.shape is None or whole(node, "axis", -1) not in (1, -len(x.shape)):
        raise node.unsupported(f"part of an input of shape {x.shape}, without the batch axis", "all axes but the batch")
    scale, bias = constant(node, values[1], "scale").array, optional(node, values[2], "bias")
    if (scale != 1).any() or (bias is not None and bias.array.any()):
        raise node.unsupported("a scale or a bias", "a scale of ones, no bias")
    return view(graph.assembly.standardise(node, x, number(node, "epsilon", 1e-5)))


READERS = {
    "LayerNormalization": Handler(_layer_normalization, (2, 3), frozenset({"axis", "epsilon", "stash_type"})),
}


def write(graph: Graph, layer: Layer) -> None:
    ones = graph.constant(f"{layer.name}.ones", np.ones(layer.shape, np.float32))
    graph.finish(layer, "LayerNormalization", [graph.read(layer.inputs[0]), ones], axis=1, epsilon=record(layer, Standardise).eps)
