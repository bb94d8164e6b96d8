"""Convolutions over sequences in TFLite: a CONV_2D between two RESHAPEs, which ``conv2d`` reads."""

from __future__ import annotations

from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.windows import windowed, with_bias
from edgeff.ir import Layer
from edgeff.ops import record
from edgeff.ops.conv1d import Conv1d


def write(graph: Graph, layer: Layer) -> None:
    before, image = layer.inputs[0], record(layer, Conv1d).as_image(layer)
    length, channels = graph.shapes[before]
    row = graph.reshape(graph.source(layer), layer, "image", (1, length, channels), graph.quants[before])
    x, options = windowed(graph, image, row, (1, length, channels))
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    y, inputs = graph.output(image), [x, *graph.parameters(with_bias(image, graph.quants[before]))]
    graph.operator("CONV_2D", inputs, y, "Conv2DOptions", version=3 if graph.int8 else 1, **options)
    graph.indices[layer.name] = graph.reshape(y, layer, "sequence", layer.shape, layer.quant.get("output"))
