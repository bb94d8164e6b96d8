"""Depthwise convolutions in ONNX: a Conv in as many groups as channels, which ``conv2d`` reads."""

from __future__ import annotations

from edgeff.formats.onnx.graph import Graph
from edgeff.formats.onnx.windows import window_attributes
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.depthwise_conv2d import DepthwiseConv2d


def write(graph: Graph, layer: Layer) -> None:
    weight = layer.params["weight"].transpose(2, 0, 1)[:, None]  # (KH, KW, C_out) -> (C_out, 1, KH, KW)
    x = graph.read(layer.inputs[0], "channels_first")
    channels = graph.shape(layer.inputs[0])[-1]
    inputs = [x, *graph.parameters(layer, weight)]
    graph.finish(layer, "Conv", inputs, "channels_first", group=channels, **window_attributes(record(layer, DepthwiseConv2d)))
