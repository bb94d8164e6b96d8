"""Batch normalisation in ONNX: BatchNormalization is folded into the layer before it."""

from __future__ import annotations

import numpy as np

from edgeff.formats.conventions import check_finite, short
from edgeff.formats.onnx.arithmetic import affine
from edgeff.formats.onnx.reading import Handler, Reading, Values, constant, flag, number, real
from edgeff.formats.onnx.views import Seen, channels_first
from edgeff.formats.values import Node


def _batch_normalization(graph: Reading, node: Node, values: Values) -> Seen:
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias, over ONNX's first axis after the batch."""
    x = real(node, values[0])
    names = ("scale", "bias", "mean", "variance")
    parts = [constant(node, value, name) for value, name in zip(values[1:], names, strict=True)]
    if x.x.quant is not None or any(part.quant is not None for part in parts):
        raise node.unsupported(
            "a quantised batch normalisation", "one folded into the convolution before it, before the model is quantised"
        )
    if flag(node, "training_mode") or number(node, "spatial", 1) != 1:
        raise node.unsupported("batch normalisation in training, or by position", "training_mode 0, spatial 1")
    scale, bias, mean, variance = (part.array for part in parts)
    shapes = {part.array.shape for part in parts}
    if x.shape is None or shapes != {x.shape[:1]} or any(part.array.dtype != np.float32 for part in parts):
        raise node.bad(f"parameters of shapes {sorted(shapes)} for an input of shape {x.shape}", "four of float32, one value per channel")
    if len(x.shape) > 1:
        x = channels_first(graph.views.channels_last(node, x))
    eps = number(node, "epsilon", 1e-5)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance.astype(np.float64) + eps)
        shift = bias - mean * factor
    check_finite(np.concatenate([factor, shift]), f"node {short(node.name)}, scale / sqrt(variance + epsilon)")
    return affine(graph, node, x, factor, shift)


READERS = {
    "BatchNormalization": Handler(_batch_normalization, (5, 5), frozenset({"epsilon", "momentum", "spatial", "training_mode"})),
}

REFUSED = "it is folded into the layer before it when a model is written"
