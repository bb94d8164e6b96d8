"""The files that are mutated: reference models, small networks of every operator, and operators as other tools write them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import flatbuffers
import numpy as np
import onnx
from image_networks import as_int8
from random_networks import one_layer, random_network
from reference_files import reference_model
from test_onnx_foreign import CASES as ONNX_CASES
from test_onnx_quantised import OPERATORS, whole
from tflite_files import Graph, pool

from edgeff.errors import EdgeffError
from edgeff.formats import from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Network
from edgeff.ops import kind
from edgeff.program.quantize import quantize

REFERENCE = ("kws_dscnn", "ic_resnet8", "vww_mobilenet025", "ad_fcae")
RANDOM = 24
ALONE = (
    "gru",
    "lstm",
    "svdf",
    "recent",
    "prelu",
    "upsample2d",
    "resize_bilinear",
    "log_softmax",
    "softmax",
    "logistic",
    "tanh",
    "abs",
    "audio_frontend",
)
"""Operators that the random networks do not have."""
LARGEST_BYTES = 400_000
"""Larger reference models are left out: they have the same operators as their int8 forms, and unpacking them is what takes time."""


@functools.cache
def corpus(form: str) -> tuple[tuple[bytes, ...], ...]:
    """The groups of files of a form, ``"tflite"`` or ``"onnx"``: reference models (where they are at hand), small ones, foreign ones."""
    groups = (_reference, _small, _foreign_tflite if form == "tflite" else _foreign_onnx)
    made = (tuple(group(form)) for group in groups)
    return tuple(group for group in made if group)


def _reference(form: str) -> Iterator[bytes]:
    for name in REFERENCE:
        for numeric in ("int8", "f32"):
            path = reference_model(f"{name}_{numeric}.tflite")
            if path is not None and path.stat().st_size <= LARGEST_BYTES:
                data = path.read_bytes()
                yield data if form == "tflite" else to_onnx(from_tflite(data)).SerializeToString()


def _small(form: str) -> Iterator[bytes]:
    """Random networks, every other one in int8; each with edgeff's description of it in the file and without."""
    alone = [(one_layer(op, seed), seed) for op in ALONE for seed in (0, 1)]
    for drawn, seed in [*((random_network(seed), seed) for seed in range(RANDOM)), *alone]:
        try:
            network = _quantised(drawn, seed) if seed % 2 else drawn
            if form == "tflite":
                data = to_tflite(network)
                yield data
                yield without_description(data)
            else:
                model = to_onnx(network)
                yield model.SerializeToString()
                del model.metadata_props[:]
                yield model.SerializeToString()
        except EdgeffError:  # no form in these files
            continue


def _quantised(network: Network, seed: int) -> Network:
    """The network in int8; what remembers from samples, an LSTM and an SVDF not at all."""
    if not any(kind(layer).remembers for layer in network):
        return as_int8(network, seed)
    return quantize(network, np.random.default_rng(seed).normal(size=(8, *network.input_shape)))


def without_description(data: bytes) -> bytes:
    """A TFLite file as if another tool had written it."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    model.metadata = []
    return packed(model)


def packed(model: Any) -> bytes:
    """The file of an unpacked TFLite model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _foreign_onnx(_form: str) -> Iterator[bytes]:
    yield from (case.data() for case in ONNX_CASES.values())
    for op in OPERATORS:
        for dtype in (np.int8, np.uint8):
            yield whole(op, dtype)
    weights = onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size]) for name, size in (("x", 4), ("y", 3))]
    yield onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weights])).SerializeToString()


def _foreign_tflite(_form: str) -> Iterator[bytes]:
    for dtype in ("int8", "float32"):
        yield _padded_pool(dtype)
        yield _skip(dtype)
        yield _turned(dtype)


def _padded_pool(dtype: str) -> bytes:
    """PAD, DEPTHWISE_CONV_2D, RELU6, MAX_POOL_2D, MEAN, SQUEEZE, SOFTMAX."""
    graph = Graph(dtype)
    wide = graph.pad(graph.x, (1, 9, 8, 2), [[0, 0], [1, 2], [2, 0], [0, 0]])
    deep = graph.conv(wide, (1, 7, 6, 2), (1, 3, 3, 2), name="DEPTHWISE_CONV_2D", depthMultiplier=1)
    bent = graph.op("RELU6", [deep], (1, 7, 6, 2), quant={"scale": [0.4]})
    best = pool(graph, bent, (1, 3, 3, 2), quant={"scale": [0.4]})
    mean = graph.op("MEAN", [best, graph.axes(1, 2)], (1, 1, 1, 2), "ReducerOptions", {"scale": [0.4]}, keepDims=True)
    flat = graph.op("SQUEEZE", [mean], (1, 2), "SqueezeOptions", {"scale": [0.4]}, squeezeDims=[1, 2])
    return graph.done(graph.op("SOFTMAX", [flat], (1, 2), "SoftmaxOptions", {"scale": [1 / 256], "zero": -128}, beta=1.0))


def _skip(dtype: str) -> bytes:
    """Two CONV_2D with SAME padding, RELU, ADD, AVERAGE_POOL_2D, RESHAPE."""
    graph = Graph(dtype)
    same = {"padding": schema.Padding.SAME}
    one = graph.conv(graph.x, (1, 6, 6, 3), **same)
    other = graph.conv(graph.x, (1, 6, 6, 3), bias=False, **same)
    bent = graph.op("RELU", [one], (1, 6, 6, 3), quant={"scale": [0.4]})
    both = graph.op("ADD", [bent, other], (1, 6, 6, 3), "AddOptions", {"scale": [0.7]})
    mean = pool(graph, both, (1, 3, 3, 3), "AVERAGE_POOL_2D", {"scale": [0.7]})
    return graph.done(graph.op("RESHAPE", [mean, graph.axes(1, 27)], (1, 27), "ReshapeOptions", {"scale": [0.7]}, newShape=[1, 27]))


def _turned(dtype: str) -> bytes:
    """TRANSPOSE, CONV_2D, and in int8 a QUANTIZE after it."""
    graph = Graph(dtype)
    turned = graph.op("TRANSPOSE", [graph.x, graph.axes(0, 2, 1, 3)], (1, 6, 6, 2), "TransposeOptions")
    y = graph.conv(turned, (1, 4, 4, 3))
    return graph.done(graph.op("QUANTIZE", [y], (1, 4, 4, 3), "QuantizeOptions", {"scale": [0.9]}) if dtype == "int8" else y)
