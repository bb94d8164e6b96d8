"""Transposed convolutions in a TFLite file: zeros between pixels and the convolution that reads them are one TRANSPOSE_CONV."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.schema import schema
from edgeff.ir import Layer, Network
from edgeff.ops import kind
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.upsample2d import Upsample2d


def padding_of(network: Network, layer: Layer, x: tuple[int, ...]) -> int | None:
    """The padding of the TRANSPOSE_CONV that ``layer``, zeros between the pixels of an input of shape ``x``, and its reader are; None if
    they are none: it has one reader, an ordinary convolution, which TFLite's padding can express.
    """
    readers = [other for other in network if layer.name in other.inputs]
    op, spread = (kind(each) for each in (readers[0] if readers else layer, layer))
    if (
        len(readers) != 1
        or not isinstance(op, Conv2d)
        or not isinstance(spread, Upsample2d)
        or layer.name in {end.name for end in network.ends}
    ):
        return None
    bias = readers[0].params.get("bias")
    if op.groups != 1 or op.stride != (1, 1) or (bias is not None and readers[0].numeric == "int16" and bias.dtype != np.int64):
        return None
    factors, out = (spread.factor_h, spread.factor_w), readers[0].shape
    cut = [op.window[axis] - 1 - op.pads[axis] for axis in (0, 1)]
    whole = [(x[axis] - 1) * factors[axis] + op.window[axis] for axis in (0, 1)]
    same = [max(whole[axis] - out[axis], 0) // 2 for axis in (0, 1)]
    if cut == same and all(-(-out[axis] // factors[axis]) == x[axis] for axis in (0, 1)):
        return int(schema.Padding.SAME)
    fits = all((out[axis] - op.window[axis]) // factors[axis] + 1 == x[axis] for axis in (0, 1))
    return int(schema.Padding.VALID) if cut == [0, 0] and fits else None


def write_transposed(graph: Graph, spread: Layer, layer: Layer) -> None:
    """Adds the convolution ``layer`` and the zeros ``spread`` before it."""
    op = kind(spread)
    size = graph.constant(f"{layer.name}.size", np.array((1, *layer.shape), np.int32))
    turned = np.ascontiguousarray(layer.params["weight"][:, ::-1, ::-1])
    weight, *bias = graph.parameters(replace(layer, params={**layer.params, "weight": turned}))
    options = {"padding": padding_of(graph.network, spread, graph.shapes[spread.inputs[0]]), **graph.fused(layer)}
    options |= {"strideH": op.attributes["factor_h"], "strideW": op.attributes["factor_w"]}
    version = 3 if bias else 2 if graph.int8 else 1
    inputs = [size, weight, graph.source(spread), *bias]
    graph.operator("TRANSPOSE_CONV", inputs, graph.output(layer), "TransposeConvOptions", version=version, **options)
