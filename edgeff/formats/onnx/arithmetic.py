"""Constants in ONNX arithmetic: a scale or shift for each channel, folded into the layer before it."""

from __future__ import annotations

import numpy as np

from edgeff.formats.onnx.reading import Reading
from edgeff.formats.onnx.views import View
from edgeff.formats.values import Constant, Node
from edgeff.ir import Array


def affine(graph: Reading, node: Node, x: View, scale: Array, shift: Array) -> View:
    """``x`` times ``scale`` plus ``shift``, vectors over edgeff's last axis or of one element, folded into the layer before it."""
    return x.like(graph.assembly.affine(node, x.x, scale, shift))


def by_channel(node: Node, x: View, value: Constant) -> Array:
    """A constant added to or multiplied with ``x``, as a vector over edgeff's last axis, or of one element."""
    shape, array = x.shape, value.array
    if array.dtype != (np.float32 if value.quant is None else np.int32):
        raise node.unsupported(f"a constant of type {array.dtype}", "float32, or int32 with scales")
    if shape is not None and array.ndim > len(shape) + 1:
        raise node.unsupported(f"a constant of shape {array.shape} on an input of shape {shape}", f"at most {len(shape) + 1} axes")
    if array.size == 1:
        return array.reshape(1)
    if shape is None or x.reshaped is not None:
        raise node.unsupported(f"a constant of shape {array.shape} on an input of shape {shape}", "one number, or one for each channel")
    expected = tuple(size if place == len(x.order) - 1 else 1 for size, place in zip(shape, x.order, strict=True))
    given = array.shape[-len(expected) :]
    if array.size != max(expected) or (1,) * (len(expected) - len(given)) + given != expected:
        raise node.unsupported(f"a constant of shape {array.shape} on an input of shape {shape}", "one number, or one for each channel")
    return array.reshape(-1)
