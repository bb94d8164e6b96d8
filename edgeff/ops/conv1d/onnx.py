"""Convolutions over sequences in ONNX: a Conv, which ``conv2d`` reads."""

from __future__ import annotations

from typing import Any

from edgeff.formats.onnx.graph import Graph
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.conv1d import Conv1d


def write(graph: Graph, layer: Layer) -> None:
    weight = layer.params["weight"].transpose(0, 2, 1)  # (C_out, K, C_in) -> (C_out, C_in, K)
    x = graph.read(layer.inputs[0], "channels_first")
    op = record(layer, Conv1d)
    window: dict[str, Any] = {"kernel_shape": [op.kernel], "strides": [op.stride], "pads": [op.pad_left, op.pad_right]}
    graph.finish(layer, "Conv", [x, *graph.parameters(layer, weight)], "channels_first", **window)
