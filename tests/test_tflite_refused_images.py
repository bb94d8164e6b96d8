"""TFLite files over images that are refused: damaged, contradictory, or beyond what edgeff can say exactly. Each gets one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tflite_files import IMAGE, File, Graph, pool

from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_tflite
from edgeff.formats.tflite.schema import schema

FUSED = schema.ActivationFunctionType
SAME = schema.Padding.SAME
OUT = (1, 4, 4, 3)

Make = Callable[[Graph], int]


def conv(shape: tuple[int, ...] = OUT, **options: Any) -> Make:
    return lambda graph: graph.conv(graph.x, shape, **options)


def depthwise(shape: tuple[int, ...], weight: tuple[int, ...], **options: Any) -> Make:
    return lambda graph: graph.conv(graph.x, shape, weight, name="DEPTHWISE_CONV_2D", **options)


def pooled(shape: tuple[int, ...], name: str = "MAX_POOL_2D", **options: Any) -> Make:
    return lambda graph: pool(graph, graph.x, shape, name, **options)


def one(name: str, shape: tuple[int, ...], options: str = "", quant: dict[str, Any] | None = None, **fields: Any) -> Make:
    return lambda graph: graph.op(name, [graph.x], shape, options, quant, **fields)


def with_axes(name: str, axes: tuple[int, ...], shape: tuple[int, ...], options: str, **fields: Any) -> Make:
    return lambda graph: graph.op(name, [graph.x, graph.axes(*axes)], shape, options, **fields)


def padded(rows: list[list[int]], shape: tuple[int, ...], then: Callable[[Graph, int], int] = lambda _, y: y) -> Make:
    return lambda graph: then(graph, graph.pad(graph.x, shape, rows))


def pad_with(value: float, dtype: str) -> Make:
    def make(graph: Graph) -> int:
        pads = graph.tensor("pads", (4, 2), "int32", data=np.array([[0, 0], [1, 1], [1, 1], [0, 0]]))
        y = graph.op("PADV2", [graph.x, pads, graph.tensor("v", (1,), dtype, data=np.array([value]))], (1, 8, 8, 2), "PadV2Options")
        return graph.conv(y, (1, 6, 6, 3))

    return make


def weight_is_computed(graph: Graph) -> int:
    return graph.op("CONV_2D", [graph.x, graph.x, graph.x], OUT, "Conv2DOptions", strideH=1, strideW=1)


def sum_of(shape: tuple[int, ...]) -> Make:
    """A sum of the input and a smaller tensor, which NumPy would not broadcast."""
    return lambda graph: graph.op("ADD", [graph.x, graph.conv(graph.x, shape, (2, 5, 5, 2))], IMAGE, "AddOptions")


def cycle(graph: Graph) -> int:
    a, b = graph.image("a", IMAGE), graph.image("b", IMAGE)
    graph.operator("ADD", [graph.x, b], [a], "AddOptions")
    graph.operator("ADD", [graph.x, a], [b], "AddOptions")
    return b


def made_twice(graph: Graph) -> int:
    y = graph.conv(graph.x, OUT)
    graph.operator("RELU", [y], [y])
    return y


def sizes(name: str, options: str, step: int = 1, **fields: Any) -> Make:
    """A reshape by a shape that another operator computes from an activation."""

    def make(graph: Graph) -> int:
        shape = graph.tensor("shape", (4,), "int32")
        inputs = [graph.axes(3)] if name == "PACK" else [graph.axes(7), graph.axes(3), graph.axes(4), graph.axes(step)]
        graph.operator(name, inputs, [shape], options, **fields)
        return graph.op("RESHAPE", [graph.x, shape], (1, 72), "ReshapeOptions")

    return make


CASES: dict[str, tuple[type[EdgeffError], str, Make]] = {
    "dilation": (BadInput, "a dilation of (1, 0)", conv((1, 2, 2, 3), dilationWFactor=0)),
    "groups": (BadInput, "2 input channels for a weight of shape (5, 3, 3, 1)", conv((1, 4, 3, 5), weight=(5, 3, 3, 1))),
    "stride 0": (BadInput, "strides of 0x1", conv(strideH=0)),
    "stride -1": (BadInput, "strides of 1x-1", conv(strideW=-1)),
    "kernel too large": (BadInput, "windows of 7x3 by strides of 1x1 in an image of 6x6", conv((1, 1, 4, 3), weight=(3, 7, 3, 2))),
    "padding unknown": (Unsupported, "padding 7", conv(padding=7)),
    "fused tanh": (Unsupported, "fused activation TANH", conv(fusedActivationFunction=FUSED.TANH)),
    "output contradicts": (BadInput, "an output of shape (1, 5, 4, 3)", conv((1, 5, 4, 3))),
    "output of another rank": (BadInput, "an output of shape (1, 48)", conv((1, 48))),
    "weight of rank 3": (BadInput, "a weight of shape (3, 3, 2)", conv(weight=(3, 3, 2))),
    "weight computed": (Unsupported, "a weight that is computed", weight_is_computed),
    "weight -128": (BadInput, "the value -128", conv(weights={"data": np.full((3, 3, 3, 2), -128)})),
    "weight zero point": (BadInput, "weight, zero point: got 1", conv(weights={"data": np.ones((3, 3, 3, 2)), "zero": 1})),
    "weight axis": (Unsupported, "quantisation axis: got 3", conv(weights={"scale": [0.1, 0.2], "axis": 3})),
    "weight scales": (BadInput, "weight, scales: got 2", conv(weights={"scale": [0.1, 0.2]})),
    "bias per tensor": (BadInput, "bias: got one scale", conv(weights={"scale": [0.02, 0.02, 0.02]})),
    "bias scale": (BadInput, "bias scale: got", conv(biases={"scale": [0.5]})),
    "zero point": (BadInput, "zero point: got 128", conv(quant={"zero": 128})),
    "infinite scale": (BadInput, "scales: got 1 NaN or infinite", conv(quant={"scale": [np.inf]})),
    "scale 0": (BadInput, "a positive float32", conv(quant={"scale": [0.0]})),
    "depthwise multiplier": (BadInput, "depth multiplier 3", depthwise((1, 4, 4, 4), (1, 3, 3, 4), depthMultiplier=3)),
    "depthwise channels": (BadInput, "multiplier 1, a weight of 3", depthwise((1, 4, 4, 3), (1, 3, 3, 3))),
    "depthwise weight": (BadInput, "a weight of shape (2, 3, 3, 2)", depthwise((1, 4, 4, 2), (2, 3, 3, 2))),
    "depthwise axis": (
        Unsupported,
        "quantisation axis: got 1",
        depthwise((1, 5, 5, 2), (1, 2, 2, 2), weights={"scale": [0.1] * 2, "axis": 2}),
    ),
    "average changes the scale": (Unsupported, "a change of scale", pooled((1, 3, 3, 2), "AVERAGE_POOL_2D", quant={"scale": [0.1]})),
    "pool of 0": (BadInput, "a window of 0x2", pooled((1, 3, 3, 2), filterHeight=0)),
    "mean of everything twice": (Unsupported, "over axes [1, 2, 2]", with_axes("MEAN", (1, 2, 2), (1, 2), "ReducerOptions")),
    "mean axes huge": (Unsupported, "over axes [2147483647, 1]", with_axes("MEAN", (2**31 - 1, 1), (1, 2), "ReducerOptions")),
    "sum of unlike shapes": (Unsupported, "shapes that broadcast", sum_of((1, 2, 2, 2))),
    "relu6 changes the scale": (Unsupported, "a RELU6 that changes the scale", one("RELU6", IMAGE, quant={"scale": [0.02]})),
    "reshape changes the scale": (Unsupported, "a change of scale", one("RESHAPE", (1, 72), "ReshapeOptions", {"scale": [0.1]})),
    "reshape of the batch": (Unsupported, "a reshape from (6, 6, 2) to (2,)", one("RESHAPE", (36, 2), "ReshapeOptions")),
    "reshape contradicts": (BadInput, "a shape of [1, 71]", with_axes("RESHAPE", (1, 71), (1, 72), "ReshapeOptions")),
    "transpose twice one axis": (BadInput, "the order (0, 0, 2)", with_axes("TRANSPOSE", (0, 1, 1, 3), IMAGE, "TransposeOptions")),
    "transpose contradicts": (BadInput, "an output of shape (1, 6, 6, 2)", with_axes("TRANSPOSE", (0, 3, 1, 2), IMAGE, "TransposeOptions")),
    "pad the batch": (Unsupported, "none along the batch axis", padded([[1, 0], [0, 0], [0, 0], [1, 0]], (1, 6, 6, 3))),
    "pad negative": (BadInput, "the padding (-1, 0, 0, 0)", padded([[0, 0], [-1, 0], [0, 0], [0, 0]], (1, 5, 6, 2))),
    "pad contradicts": (BadInput, "an output of shape (1, 8, 6, 2)", padded([[0, 0], [1, 0], [0, 0], [0, 0]], (1, 8, 6, 2))),
    "pad rows": (BadInput, "pads int32 (3, 2) for an input of 4 axes", padded([[0, 0], [1, 0], [0, 0]], (1, 7, 6, 2))),
    "pad with the lowest": (Unsupported, "padding of its input", pad_with(-128, "int8")),
    "pad of another type": (Unsupported, "a padding of float32 (1,)", pad_with(4, "float32")),
    "cycle": (BadInput, "that no earlier operator computes", cycle),
    "made twice": (BadInput, "an output tensor that already has a value", made_twice),
    "pack of an activation": (Unsupported, "axis 0 of 4", lambda g: g.op("PACK", [g.x] * 2, IMAGE, "PackOptions")),
    "slice of an activation": (
        Unsupported,
        "a begin that is computed",
        lambda g: g.op("STRIDED_SLICE", [g.x] * 4, IMAGE, "StridedSliceOptions"),
    ),
    "pack of vectors": (Unsupported, "a pack of anything but constant numbers", sizes("PACK", "PackOptions")),
    "slice past the end": (BadInput, "element 3 of 1", sizes("STRIDED_SLICE", "StridedSliceOptions", shrinkAxisMask=1)),
    "slice by 3": (Unsupported, "a slice of anything but a constant vector", sizes("STRIDED_SLICE", "StridedSliceOptions", 3)),
    "slice of masks": (Unsupported, "masks of more than one axis", sizes("STRIDED_SLICE", "StridedSliceOptions", newAxisMask=1)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_said_exactly_gets_one_line(case: str) -> None:
    kind, part, make = CASES[case]
    graph = Graph()
    data = graph.done(make(graph))
    with pytest.raises(kind) as caught:
        from_tflite(data)
    assert part in str(caught.value)
    assert str(caught.value).isprintable()
    if caught.type is Unsupported:
        assert caught.value.allowed


def test_a_refused_operator_is_named_with_its_attributes_and_the_supported_list() -> None:
    graph = Graph()
    with pytest.raises(Unsupported) as caught:
        from_tflite(graph.done(graph.op("DEPTH_TO_SPACE", [graph.x], IMAGE, "DepthToSpaceOptions")))
    assert "operator 'DEPTH_TO_SPACE'" in str(caught.value)
    expected = {"ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "MEAN", "PAD", "RELU6", "SQUEEZE", "TRANSPOSE"}
    assert expected <= set(caught.value.allowed.split(", "))
    graph = Graph()
    with pytest.raises(Unsupported, match=r"operator 'CONV_2D'.*dilation_w=2.*padding=7.*stride_h=1"):
        from_tflite(graph.done(graph.conv(graph.x, (1, 4, 2, 3), dilationWFactor=2, padding=7)))


def test_missing_options_are_refused() -> None:
    graph = Graph()
    y = graph.conv(graph.x, OUT)
    graph.operators[-1].builtinOptions, graph.operators[-1].builtinOptionsType = None, 0
    with pytest.raises(BadInput, match="a window of 3x3 by strides of 0x0"):
        from_tflite(graph.done(y))
    graph = Graph()
    y = graph.op("CONV_2D", [graph.x, graph.x, graph.x], OUT, "Pool2DOptions")
    with pytest.raises(BadInput, match="options of type"):
        from_tflite(graph.done(y))


@pytest.mark.parametrize("shape", [(1, 6, 6), (1, 72), (1, 1, 6, 6, 2)], ids=str)
def test_a_window_over_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    for make in (conv(OUT), pooled((1, 3, 3, 2)), depthwise((1, 4, 4, 2), (1, 3, 3, 2))):
        graph = Graph(shape=shape)
        with pytest.raises(Unsupported, match="an input of shape"):
            from_tflite(graph.done(make(graph)))


def test_images_and_padding_past_the_limit_are_refused() -> None:
    graph = Graph(shape=(1, 1 << 14, 1 << 14, 1))
    with pytest.raises(BadInput, match="shape of"):
        from_tflite(graph.done(graph.conv(graph.x, (1, 1 << 14, 1 << 14, 1), (1, 1, 1, 1), padding=SAME)))
    graph = Graph()
    huge = graph.pad(graph.x, (1, 6 + (1 << 25), 6, 2), [[0, 0], [1 << 25, 0], [0, 0], [0, 0]])
    with pytest.raises(BadInput, match="pad_top: got 33554432"):
        from_tflite(graph.done(graph.conv(huge, (1, 5, 4, 3), strideH=1 << 23)))


def test_activations_of_uint8_are_refused_with_all_operators_that_read_them() -> None:
    file = File()
    x, *rest = (file.tensor(name, (1, 8), "uint8", scale=[0.05], zero=3) for name in "xabcd")
    for source, target in zip((x, *rest), rest, strict=False):
        file.operator("RELU" if target < 3 else "LOGISTIC", [source], [target])
    with pytest.raises(Unsupported) as caught:
        from_tflite(file.pack([x], rest[-1:]))
    text = str(caught.value)
    assert "operator 'RELU': got a" in text
    assert "uint8 " in text
    assert "the file has RELU x2, LOGISTIC x2" in text
    assert caught.value.next_step.startswith("convert the float model again")
