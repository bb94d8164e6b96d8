"""TFLite files over images that other tools make, operator by operator and through TensorFlow's converter; and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from image_networks import inputs_for
from model_files import assert_same_network, run_litert, run_tflm
from test_tflite_convolutions import executed
from tflite_files import IMAGE, VALID, File, Graph, pool

from edgeff.errors import BadInput, Unsupported
from edgeff.formats import from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Layer, Network, Quant
from edgeff.ops import kind
from edgeff.ops.upsample2d import Upsample2d
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

RNG = np.random.default_rng(29)
FUSED = schema.ActivationFunctionType
SAME = schema.Padding.SAME


def both_ways(data: bytes, *, same_bits: bool = True) -> Network:
    """The network in ``data``, after it has been held against TFLM and against its own file."""
    network = from_tflite(data)
    again = to_tflite(network)
    assert_same_network(network, from_tflite(again))
    x = inputs_for(network, 8)
    expected = run_tflm(data, x)
    if network.input_quant is not None:
        np.testing.assert_array_equal(executed(network, x).reshape(expected.shape), expected)
    if same_bits:
        np.testing.assert_array_equal(run_tflm(again, x).reshape(expected.shape), expected)
        np.testing.assert_array_equal(run_litert(again, x).reshape(expected.shape), run_litert(data, x))
    else:
        # Float32 sums in another order.
        np.testing.assert_allclose(run_tflm(again, x).reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)
    return network


def kinds(network: Network) -> list[tuple[str, str]]:
    return [(layer.kind, str(kind(layer).attributes.get("activation", ""))) for layer in network]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("operator", ["RELU", "RELU6"])
def test_a_relu_at_the_same_scale_becomes_part_of_its_convolution(operator: str, dtype: str) -> None:
    graph = Graph(dtype)
    y = graph.conv(graph.x, (1, 4, 4, 3))
    network = both_ways(graph.done(graph.op(operator, [y], (1, 4, 4, 3), quant={"scale": [0.4]})))
    assert kinds(network) == [("conv2d", operator.lower())]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_relu_whose_input_others_read_stays_a_layer(dtype: str) -> None:
    graph = Graph(dtype)
    y = graph.conv(graph.x, (1, 4, 4, 3))
    relu = graph.op("RELU", [y], (1, 4, 4, 3), quant={"scale": [0.4]})
    network = both_ways(
        graph.done(graph.op("ADD", [y, relu], (1, 4, 4, 3), "AddOptions", {"scale": [0.5]}, fusedActivationFunction=FUSED.RELU6))
    )
    assert kinds(network) == [("conv2d", "none"), ("relu", "relu"), ("add", "relu6")]
    assert network.layers[2].inputs == (network.layers[0].name, network.layers[1].name)


def test_a_relu_that_changes_the_scale_stays_a_layer() -> None:
    graph = Graph()
    y = graph.conv(graph.x, (1, 4, 4, 3))
    network = both_ways(graph.done(graph.op("RELU", [y], (1, 4, 4, 3), quant={"scale": [0.17], "zero": -128})))
    assert kinds(network) == [("conv2d", "none"), ("relu", "relu")]
    assert network.layers[1].quant == {"output": Quant((float(np.float32(0.17)),), -128)}


def test_a_quantize_between_int8_tensors_is_a_layer_and_one_with_a_relu6_behind_it() -> None:
    graph = Graph()
    scaled = graph.op("QUANTIZE", [graph.x], IMAGE, "QuantizeOptions", {"scale": [0.03], "zero": -100})
    assert kinds(both_ways(graph.done(scaled))) == [("requantise", "")]
    clamped = graph.op("RELU6", [scaled], IMAGE, quant={"scale": [0.03], "zero": -100})
    assert kinds(both_ways(graph.done(clamped))) == [("relu", "relu6")]
    network = both_ways(graph.done(graph.op("ADD", [scaled, clamped], IMAGE, "AddOptions")))
    assert kinds(network) == [("requantise", ""), ("relu", "relu6"), ("add", "none")]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_zero_padding_becomes_the_convolutions(dtype: str) -> None:
    graph = Graph(dtype)
    once = graph.pad(graph.x, (1, 9, 8, 2), [[0, 0], [1, 2], [0, 2], [0, 0]])
    twice = graph.pad(once, (1, 10, 9, 2), [[0, 0], [1, 0], [0, 1], [0, 0]])
    network = both_ways(graph.done(graph.conv(twice, (1, 5, 5, 3), padding=SAME, strideH=2, strideW=2)), same_bits=dtype == "int8")
    (layer,) = network.layers
    assert [kind(layer).attributes[f"pad_{side}"] for side in ("top", "left", "bottom", "right")] == [2, 1, 3, 4]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_zeros_around_a_maximum_are_padding_only_behind_a_relu(dtype: str) -> None:
    """In int8 also where the zero point is -128."""
    rows = [[0, 0], [0, 1], [1, 0], [0, 0]]
    for fused, zero, exact in ((FUSED.RELU, 4, True), (FUSED.NONE, -128, dtype == "int8"), (FUSED.NONE, 4, False)):
        quant = {"scale": [0.4], "zero": zero}
        graph = Graph(dtype)
        y = graph.pad(graph.conv(graph.x, (1, 4, 4, 3), quant=quant, fusedActivationFunction=fused), (1, 5, 5, 3), rows, quant)
        data = graph.done(pool(graph, y, (1, 2, 2, 3), quant=quant, filterHeight=3, filterWidth=3))
        if exact:
            assert kind(both_ways(data).layers[1]).attributes["pad_bottom"] == 1
        else:
            with pytest.raises(Unsupported, match="a maximum over zeros around elements that may be negative"):
                from_tflite(data)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_what_only_moves_axes_of_one_is_no_layer(dtype: str) -> None:
    graph = Graph(dtype)
    y = graph.op("MEAN", [graph.x, graph.axes(2, -3)], (1, 1, 1, 2), "ReducerOptions", keepDims=True)
    y = graph.op("SQUEEZE", [y], (1, 2), "SqueezeOptions", squeezeDims=[1, 2])
    y = graph.op("EXPAND_DIMS", [y, graph.axes(1)], (1, 1, 2), "ExpandDimsOptions")
    y = graph.op("TRANSPOSE", [y, graph.axes(0, 2, 1)], (1, 2, 1), "TransposeOptions")
    y = graph.op("RESHAPE", [y, graph.axes(-1, 1, 1, 2)], (1, 1, 1, 2), "ReshapeOptions")
    assert [layer.kind for layer in both_ways(graph.done(graph.conv(y, (1, 1, 1, 4), (4, 1, 1, 2))))] == [
        "global_average_pool",
        "reshape",
        "conv2d",
    ]


def test_a_convolution_over_a_sequence_is_a_conv1d() -> None:
    graph = Graph(shape=(1, 9, 2))
    row = graph.op("EXPAND_DIMS", [graph.x, graph.axes(1)], (1, 1, 9, 2), "ExpandDimsOptions")
    y = graph.conv(row, (1, 1, 4, 3), (3, 1, 3, 2), strideW=2, fusedActivationFunction=FUSED.RELU)
    y = graph.op("SQUEEZE", [y], (1, 4, 3), "SqueezeOptions", {"scale": [0.4]}, squeezeDims=[1])
    network = both_ways(graph.done(y))
    (layer,) = network.layers
    assert (layer.kind, layer.shape, layer.params["weight"].shape) == ("conv1d", (4, 3), (3, 3, 2))
    column = Graph(shape=(1, 9, 2))
    image = column.op("RESHAPE", [column.x, column.axes(1, 9, 1, 2)], (1, 9, 1, 2), "ReshapeOptions")
    network = both_ways(column.done(column.conv(image, (1, 7, 1, 3), (3, 3, 1, 2))))
    assert [layer.kind for layer in network] == ["conv1d", "reshape"]


@pytest.mark.parametrize("through", ["weight", "DEQUANTIZE"])
def test_int8_weights_of_a_float_model_become_float32_and_are_counted(through: str) -> None:
    scales, q = [0.5, 0.25, 0.125], RNG.integers(-128, 128, (3, 3, 3, 2)).astype(np.int8)
    graph = Graph("float32")
    w = graph.tensor("w", q.shape, "int8", data=q, scale=scales)
    if through == "DEQUANTIZE":
        real = graph.tensor("wf", q.shape)
        graph.operator("DEQUANTIZE", [w], [real], "DequantizeOptions")
        w = real
    b = graph.tensor("b", (3,), data=np.ones(3))
    y = graph.op("CONV_2D", [graph.x, w, b], (1, 4, 4, 3), "Conv2DOptions", padding=VALID, strideH=1, strideW=1)
    network = from_tflite(graph.done(y))
    expected = q.astype(np.float32) * np.array(scales, np.float32).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(network.layers[0].params["weight"], expected)
    assert network.metadata["source"]["dequantised_weights"] == 1
    assert from_tflite(to_tflite(network)).metadata == network.metadata


def test_a_batch_normalisation_behind_a_convolution_is_folded() -> None:
    graph = Graph("float32")
    y = graph.conv(graph.x, (1, 4, 4, 3))
    scale, shift = graph.tensor("s", (1, 1, 1, 3), data=np.array([0.5, -2, 3])), graph.tensor("t", (3,), data=np.array([1, 2, -3]))
    y = graph.op("MUL", [scale, y], (1, 4, 4, 3), "MulOptions")
    y = graph.op("ADD", [y, shift], (1, 4, 4, 3), "AddOptions", fusedActivationFunction=FUSED.RELU)
    assert kinds(both_ways(graph.done(y), same_bits=False)) == [("conv2d", "relu")]
    behind = graph.op("MUL", [y, scale], (1, 4, 4, 3), "MulOptions")
    assert kinds(both_ways(graph.done(behind), same_bits=False)) == [("conv2d", "relu"), ("constant", ""), ("mul", "none")]


def test_a_bias_scale_within_tflites_tolerance_is_no_other_number() -> None:
    """TFLite scales a bias by its products whatever its tensor says; ONNX does not, so such a network is not written as ONNX."""
    graph = Graph()
    data = graph.done(graph.conv(graph.x, (1, 4, 4, 3), biases={"scale": [0.05 * 0.02 + 0.019 * 0.4]}))
    network = both_ways(data)
    with pytest.raises(BadInput, match="bias scale"):
        to_onnx(network)
    graph = Graph()
    with pytest.raises(BadInput, match="bias scale"):
        from_tflite(graph.done(graph.conv(graph.x, (1, 4, 4, 3), biases={"scale": [0.05 * 0.02 + 0.021 * 0.4]})))


def test_the_axis_of_a_bias_is_its_only_one_whatever_its_tensor_says() -> None:
    """Older converters left the axis of the weights there, as in TFLM's person detection; TFLM runs such a file, LiteRT refuses it."""

    def file(axis: int) -> bytes:
        graph = Graph()
        weights, biases = {"scale": [0.02, 0.03, 0.04]}, {"scale": [0.05 * 0.02, 0.05 * 0.03, 0.05 * 0.04], "axis": axis}
        return graph.done(graph.conv(graph.x, (1, 4, 4, 3), weights=weights, biases=biases))

    network = from_tflite(file(3))
    assert_same_network(network, from_tflite(file(0)))
    x = inputs_for(network, 4)
    np.testing.assert_array_equal(run_tflm(file(3), x), run_tflm(to_tflite(network), x))


def test_a_dilated_convolution_is_one_with_zeros_between_its_taps() -> None:
    graph = Graph()
    network = both_ways(graph.done(graph.conv(graph.x, (1, 2, 2, 3), dilationWFactor=2, dilationHFactor=2)))
    assert network.layers[0].params["weight"].shape == (3, 5, 5, 2)


def test_float16_weights_are_read_as_float32() -> None:
    graph = Graph("float32")
    half = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype(np.float16)
    w16, w = graph.tensor("w16", half.shape, "float16", data=half), graph.tensor("w", half.shape)
    graph.operator("DEQUANTIZE", [w16], [w], "DequantizeOptions")
    b = graph.tensor("b", (3,), data=np.ones(3))
    y = graph.op("CONV_2D", [graph.x, w, b], (1, 4, 4, 3), "Conv2DOptions", padding=VALID, strideH=1, strideW=1)
    np.testing.assert_array_equal(from_tflite(graph.done(y)).layers[0].params["weight"], half.astype(np.float32))


def test_uint8_numbers_that_only_move_are_those_of_int8_less_128() -> None:
    file, x = File(), np.arange(-128, 128, dtype=np.int16).astype(np.int8).reshape(64, 4)
    source = file.tensor("x", (1, 4), "uint8", scale=[0.5], zero=100)
    joined = file.tensor("joined", (1, 8), "uint8", scale=[0.5], zero=100)
    parts = [file.tensor(f"part_{number}", (1, 4), "uint8", scale=[0.5], zero=100) for number in range(2)]
    axis = file.tensor("axis", (), "int32", data=np.array(1))
    file.operator("CONCATENATION", [source, source], [joined], "ConcatenationOptions", axis=1)
    file.operator("SPLIT", [axis, joined], parts, "SplitOptions", numSplits=2)
    network = from_tflite(file.pack([source], [parts[1]]))
    assert network.input_quant == Quant((0.5,), -28)
    twin = Interpreter(deploy(network, target="input").program)
    for sample in x:
        twin.predict(sample)
        np.testing.assert_array_equal(twin.output().reshape(-1), sample)
    bent = file.tensor("bent", (1, 4), "uint8", scale=[1 / 256], zero=0)
    file.operator("LOGISTIC", [parts[1]], [bent])
    with pytest.raises(Unsupported, match="uint8 at the ends, through QUANTIZE, and where numbers only move"):
        from_tflite(file.pack([source], [bent]))


@pytest.mark.parametrize(("padding", "size", "biased"), [("SAME", (6, 10), True), ("VALID", (7, 11), False), ("SAME", (5, 9), True)])
def test_a_transposed_convolution_and_a_resize_are_those_of_tflm(padding: str, size: tuple[int, int], biased: bool) -> None:
    file, rng = File(), np.random.default_rng(5)
    x, y = file.tensor("x", (1, 3, 5, 2), "int8", scale=[0.5], zero=3), file.tensor("y", (1, *size, 4), "int8", scale=[2.0], zero=-7)
    scales = [0.05, 0.1, 0.02, 0.07]
    weight = file.tensor("w", (4, 3, 3, 2), "int8", data=rng.integers(-127, 128, (4, 3, 3, 2)), scale=scales)
    bias = file.tensor("b", (4,), "int32", data=rng.integers(-999, 999, 4), scale=[0.5 * scale for scale in scales])
    shape = file.tensor("shape", (4,), "int32", data=np.array([1, *size, 4]))
    options = {"padding": getattr(schema.Padding, padding), "strideH": 2, "strideW": 2}
    file.operator("TRANSPOSE_CONV", [shape, weight, x, *([bias] if biased else [])], [y], "TransposeConvOptions", **options)
    target = (2 * size[0], 3 * size[1])
    larger = file.tensor("z", (1, *target, 4), "int8", scale=[2.0], zero=-7)
    wanted = file.tensor("target", (2,), "int32", data=np.array(target))
    file.operator("RESIZE_NEAREST_NEIGHBOR", [y, wanted], [larger], "ResizeNearestNeighborOptions")
    data, samples = file.pack([x], [larger]), rng.integers(-128, 128, (6, 3, 5, 2)).astype(np.int8)
    network = from_tflite(data)
    twin, expected = Interpreter(deploy(network, target="input").program), run_tflm(data, samples)
    for sample, row in zip(samples, expected, strict=True):
        twin.predict(sample)
        np.testing.assert_array_equal(twin.output().reshape(-1), row.reshape(-1))
    written = to_tflite(network)  # zeros between pixels and a convolution are one operator again
    np.testing.assert_array_equal(run_tflm(written, samples), expected)
    assert [layer.kind for layer in from_tflite(written)] == [layer.kind for layer in network]


def test_zeros_between_pixels_that_no_convolution_reads_are_not_written() -> None:
    layer = Layer("spread", Upsample2d(factor_h=2, factor_w=2, zeros=True), ("input",), (5, 3, 2))
    with pytest.raises(Unsupported, match="zeros between pixels; allowed: repeated pixels in TFLite files"):
        to_tflite(Network("n", (3, 2, 2), (layer,)))


@pytest.mark.parametrize(("axes", "shape"), [((1, 2), (4,)), ((-1,), (3, 5)), ((2,), (3, 4))])
def test_maxima_over_axes_are_those_of_tflm(axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    file, rng = File(), np.random.default_rng(6)
    x, y = file.tensor("x", (1, 3, 5, 4), "int8", scale=[0.5], zero=3), file.tensor("y", (1, *shape), "int8", scale=[0.5], zero=3)
    file.operator("REDUCE_MAX", [x, file.tensor("axes", (len(axes),), "int32", data=np.array(axes))], [y], "ReducerOptions")
    data, samples = file.pack([x], [y]), rng.integers(-128, 128, (4, 3, 5, 4)).astype(np.int8)
    twin = Interpreter(deploy(from_tflite(data), target="input").program)
    for sample, row in zip(samples, run_tflm(data, samples), strict=True):
        twin.predict(sample)
        np.testing.assert_array_equal(twin.output().reshape(-1), row.reshape(-1))
