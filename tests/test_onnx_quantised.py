"""Quantised ONNX files that others make: every form of int8 and uint8, compared with ONNX Runtime's output of the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_files import assert_same_network, run_onnx, run_tflm
from onnx import TensorProto
from test_onnx import N, build
from test_onnx_convolutions import integers, ours
from test_onnx_foreign import draw

from edgeff.device.targets.host import HostTarget
from edgeff.formats import from_onnx, load
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Network, Quant
from edgeff.ops import kind
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import dequantise_array, quantise_array

RNG = np.random.default_rng(5)
MS = "com.microsoft"
SHAPE = (3, 6, 5)


def scale(value: float) -> Array:
    return np.array(value, np.float32)


def signed(dtype: Any, *shape: int) -> Array:
    """Weights -127 to 127, the same for a shape; as uint8 with zero point 128."""
    values = np.random.default_rng(shape).integers(-127, 128, shape)
    return (values + 128 if dtype is np.uint8 else values).astype(dtype)


def parts(dtype: Any) -> dict[str, Array]:
    """Scales and zero points of x, y and w, which mean the same in int8 and in uint8."""
    shift = 128 if dtype is np.uint8 else 0
    zero = {name: np.array(value + shift, dtype) for name, value in {"xz": -3, "yz": 5, "wz": 0}.items()}
    return zero | {"xs": scale(0.02), "ys": scale(0.03), "ws": scale(0.004)}


X, Y, W = ["xs", "xz"], ["ys", "yz"], ["ws", "wz"]
IN, OUT = N("QuantizeLinear", ["x", *X], ["q"]), N("DequantizeLinear", ["p", *Y], ["y"])


def case(op: str, dtype: Any) -> tuple[list[onnx.NodeProto], dict[str, Array], tuple[int, ...]]:
    """The nodes between the integers "q" and "p", their constants and the output's shape."""
    own = parts(dtype)
    image = {"w": signed(dtype, 4, 3, 3, 3), "b": np.arange(-2000, 2000, 1000, dtype=np.int32)}
    if op == "QLinearConv":
        return [N(op, ["q", *X, "w", *W, *Y, "b"], ["p"], pads=[1, 1, 1, 1])], own | image, (4, 6, 5)
    if op == "QLinearConv, each channel":
        each = {"ws": np.linspace(0.002, 0.006, 4, dtype=np.float32), "wz": np.full(4, own["wz"], dtype)}
        return [N("QLinearConv", ["q", *X, "w", *W, *Y, "b"], ["p"], strides=[2, 1])], own | image | each, (4, 2, 3)
    if op == "QLinearConv, depthwise":
        weight = {"w": signed(dtype, 6, 1, 3, 3), "ws": np.linspace(0.002, 0.006, 6, dtype=np.float32), "wz": np.full(6, own["wz"], dtype)}
        return [N("QLinearConv", ["q", *X, "w", *W, *Y], ["p"], group=3)], own | weight, (6, 4, 3)
    if op == "QLinearMatMul":
        nodes = [N("Flatten", ["q"], ["f"]), N(op, ["f", *X, "w", *W, *Y], ["p"])]
        return (
            nodes,
            own | {"w": signed(dtype, 90, 7), "ws": np.linspace(0.001, 0.003, 7, dtype=np.float32), "wz": np.full(7, own["wz"], dtype)},
            (7,),
        )
    if op == "QGemm":
        nodes = [N("Flatten", ["q"], ["f"]), N(op, ["f", *X, "w", *W, "b", *Y], ["p"], domain=MS, transB=1)]
        return nodes, own | {"w": signed(dtype, 7, 90), "b": np.arange(-3000, 4000, 1000, dtype=np.int32)}, (7,)
    if op == "QLinearAdd":
        nodes = [N("MaxPool", ["q"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), N(op, ["q", *X, "m", *X, *Y], ["p"], domain=MS)]
        return nodes, own, SHAPE
    if op == "QLinearAveragePool":
        return [N(op, ["q", *X, *Y], ["p"], domain=MS, kernel_shape=[2, 2], strides=[2, 1])], own, (3, 3, 4)
    if op == "QLinearAveragePool, one scale":
        own |= {"ys": own["xs"], "yz": own["xz"]}
        return [N("QLinearAveragePool", ["q", *X, *Y], ["p"], domain=MS, kernel_shape=[3, 2], pads=[1, 0, 1, 0])], own, (3, 6, 4)
    if op == "QLinearAveragePool, whole image":
        return [N("QLinearAveragePool", ["q", *X, *Y], ["p"], domain=MS, kernel_shape=[6, 5])], own, (3, 1, 1)
    if op == "QLinearGlobalAveragePool":
        return [N(op, ["q", *X, *Y], ["p"], domain=MS, channels_last=0)], own, (3, 1, 1)
    if op == "QLinearGlobalAveragePool, channels last":
        nodes = [
            N("Transpose", ["q"], ["t"], perm=[0, 2, 3, 1]),
            N("QLinearGlobalAveragePool", ["t", *X, *Y], ["p"], domain=MS, channels_last=1),
        ]
        return nodes, own, (1, 1, 3)
    nodes = [N("Flatten", ["q"], ["f"]), N(op, ["f", *X, *Y], ["p"], domain=MS, axis=1, opset=13)]
    return nodes, own | {"ys": scale(1 / 256), "yz": np.array(0 if dtype is np.uint8 else -128, dtype)}, (90,)


OPERATORS = (
    "QLinearConv",
    "QLinearConv, each channel",
    "QLinearConv, depthwise",
    "QLinearMatMul",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearAveragePool, one scale",
    "QLinearAveragePool, whole image",
    "QLinearGlobalAveragePool",
    "QLinearGlobalAveragePool, channels last",
    "QLinearSoftmax",
)


def same_numbers(data: bytes, network: Network, x: Array) -> None:
    """Our integers against ONNX Runtime's of the original: one step for each operator that rounds."""
    assert network.input_quant is not None
    steps = quantise_array(x, network.input_quant)
    expected = integers(network, run_onnx(onnx.load_from_string(data), dequantise_array(steps, network.input_quant)))
    actual = ours(network, steps)[network.layers[-1].name].reshape(expected.shape)
    assert len(set(actual.reshape(-1).tolist())) > 8
    assert np.abs(actual - expected).max() <= 1


def whole(op: str, dtype: Any) -> bytes:
    """A model with float ends around the operator."""
    nodes, constants, shape = case(op, dtype)
    return build([IN, *nodes, OUT], constants, shape=["N", *SHAPE], output_shape=["N", *shape])


@pytest.mark.parametrize("op", OPERATORS)
def test_an_operator_with_scales_of_its_own_gives_the_same_numbers(op: str) -> None:
    data = whole(op, np.uint8)
    if op == "QGemm":  # ONNX Runtime has it for uint8 times int8 alone
        nodes, constants, shape = case(op, np.uint8)
        constants |= {"w": signed(np.int8, 7, 90), "wz": np.array(0, np.int8)}
        data = build([IN, *nodes, OUT], constants, shape=["N", *SHAPE], output_shape=["N", *shape])
    network = from_onnx(data)
    assert network.numeric == "int8"
    same_numbers(data, network, RNG.normal(size=(20, *SHAPE)).astype(np.float32))
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))


@pytest.mark.parametrize("op", OPERATORS)
def test_int8_and_uint8_files_of_the_same_numbers_are_the_same_network(op: str) -> None:
    assert_same_network(from_onnx(whole(op, np.uint8)), from_onnx(whole(op, np.int8)))


LENET = [
    N("Conv", ["x", "w1", "b1"], ["c1"], name="stem", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    N("Relu", ["c1"], ["r1"], name="r1"),
    N("MaxPool", ["r1"], ["m1"], name="halve", kernel_shape=[2, 2], strides=[2, 2]),
    N("Conv", ["m1", "wd", "bd"], ["d1"], name="depthwise", kernel_shape=[3, 3], group=8, pads=[1, 1, 1, 1]),
    N("Clip", ["d1", "low", "high"], ["k1"], name="clip"),
    N("Conv", ["k1", "wp", "bp"], ["p1"], name="pointwise", kernel_shape=[1, 1]),
    N("Add", ["p1", "m1"], ["a1"], name="skip"),
    N("AveragePool", ["a1"], ["v1"], name="average", kernel_shape=[2, 2], strides=[2, 2]),
    N("GlobalAveragePool", ["v1"], ["g1"], name="mean"),
    N("Flatten", ["g1"], ["f1"], name="flat"),
    N("Gemm", ["f1", "wg", "bg"], ["y"], name="classes", transB=1),
]
LENET_WEIGHTS: dict[str, Array] = {
    "w1": draw(8, 3, 3, 3), "b1": draw(8), "wd": draw(8, 1, 3, 3), "bd": draw(8), "low": scale(0), "high": scale(6),
    "wp": draw(8, 8, 1, 1), "bp": draw(8), "wg": draw(5, 8), "bg": draw(5),
}  # fmt: skip
CALIBRATION = np.random.default_rng(1).normal(size=(40, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("activation", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_network_quantised_by_onnx_runtime(form: str, activation: str, per_channel: bool, tmp_path: Path) -> None:
    (tmp_path / "float.onnx").write_bytes(build(LENET, LENET_WEIGHTS, shape=["N", 3, 8, 8], output_shape=["N", 5]))
    quantize_static(tmp_path, CALIBRATION, form=form, per_channel=per_channel, activation=activation, weight="QInt8", symmetric=True)
    network = load(tmp_path / "int8.onnx")
    average = "average_pool2d" if form == "QDQ" else "depthwise_conv2d"  # there its scale changes
    kinds = ["transpose", "conv2d", "max_pool2d", "depthwise_conv2d", "conv2d", "add", average, "global_average_pool", "dense"]
    assert [layer.kind for layer in network] == kinds
    assert [layer.name.removesuffix("_quant") for layer in network][1:4] == ["stem", "halve", "depthwise"]
    assert {layer.quant["weight"].per_channel for layer in network.layers[1:5] if layer.trainable} == {per_channel}
    if (form, activation) == ("QOperator", "QInt8"):
        return  # ONNX Runtime writes operators on int8 that it cannot run
    theirs, again = run_onnx(onnx.load(tmp_path / "int8.onnx"), CALIBRATION), run_onnx(to_onnx(network), CALIBRATION)
    # The same integers and scales in the same runtime; where it joins operators in one file alone, a tie may round the other way.
    assert np.abs(theirs - again).max() <= 1.001 * network.layers[-1].quant["output"].scale[0]
    assert np.mean(theirs != again) < 0.05


MIXED = [
    N("Conv", ["x", "w1", "b1"], ["c1"], name="stem", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    N("Relu", ["c1"], ["r1"]),
    N("Conv", ["r1", "wd", "bd"], ["d1"], name="depthwise", kernel_shape=[3, 3], group=6, strides=[2, 2]),
    N("Flatten", ["d1"], ["f1"], name="flat"),
    N("MatMul", ["f1", "wm"], ["m1"], name="hidden"),
    N("Add", ["m1", "bm"], ["a1"], name="bias"),
    N("Relu", ["a1"], ["r2"]),
    N("Gemm", ["r2", "wg", "bg"], ["y"], name="classes", transB=1),
]
MIXED_WEIGHTS: dict[str, Array] = {
    "w1": draw(6, 3, 3, 3), "b1": draw(6), "wd": np.abs(draw(6, 1, 3, 3)), "bd": draw(6),
    "wm": draw(54, 12), "bm": draw(12), "wg": draw(5, 12), "bg": draw(5),
}  # fmt: skip


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("activation", "weight"), [("QInt8", "QInt8"), ("QUInt8", "QInt8"), ("QUInt8", "QUInt8"), ("QInt8", "QUInt8")])
def test_each_of_the_sixteen_settings_of_quantize_static_is_read(
    form: str, per_channel: bool, activation: str, weight: str, tmp_path: Path
) -> None:
    """Formats, scales, and types of activations and weights; of these ONNX Runtime makes all but int8 with uint8 weights."""
    (tmp_path / "float.onnx").write_bytes(build(MIXED, MIXED_WEIGHTS, shape=["N", 3, 8, 8], output_shape=["N", 5]))
    by_hand = (activation, weight) == ("QInt8", "QUInt8")
    if by_hand:
        with pytest.raises(ValueError, match="doesn't support data format"):
            quantize_static(tmp_path, CALIBRATION, form=form, per_channel=per_channel, activation=activation, weight=weight)
    made = "QInt8" if by_hand else weight
    quantize_static(tmp_path, CALIBRATION, form=form, per_channel=per_channel, activation=activation, weight=made)
    model = onnx.load(tmp_path / "int8.onnx")
    network = from_onnx(model.SerializeToString())
    if by_hand:
        assert_same_network(network, from_onnx(with_uint8_weights(model).SerializeToString()))
    assert network.numerics == ("int8",)
    assert bool(network.metadata["source"].get("split_weights")) == (weight == "QUInt8" and not by_hand)
    integer_gemm = (form, activation) == ("QOperator", "QInt8")  # ONNX Runtime has none for int8 times int8, unless it may fuse
    theirs = run_onnx(model, CALIBRATION, optimised=not integer_gemm, exact=not integer_gemm)
    again = run_onnx(to_onnx(network), CALIBRATION)
    # The same integers and scales in the same runtime, which joins others: a tie may round the other way, and three layers read it.
    assert np.abs(theirs - again).max() <= 3.001 * network.layers[-1].quant["output"].scale[0]
    assert np.mean(theirs != again) < 0.1
    x = deploy(network, numeric="int8").inputs(CALIBRATION)
    np.testing.assert_array_equal(ours(network, x)[network.layers[-1].name], run_tflm(to_tflite(network), x.reshape(len(x), 3, 8, 8)))


def quantize_static(
    folder: Path, samples: Array, *, form: str, per_channel: bool, activation: str, weight: str, symmetric: bool | None = None
) -> None:
    """Writes int8.onnx, which ONNX Runtime makes of float.onnx."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Samples(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.rows = iter(samples)

        def get_next(self) -> dict[str, Array] | None:
            row = next(self.rows, None)
            return None if row is None else {"x": row[None]}

    quantization.quantize_static(
        str(folder / "float.onnx"),
        str(folder / "int8.onnx"),
        Samples(),
        quant_format=quantization.QuantFormat[form],
        per_channel=per_channel,
        activation_type=quantization.QuantType[activation],
        weight_type=quantization.QuantType[weight],
        extra_options={} if symmetric is None else {"WeightSymmetric": symmetric},
    )


def with_uint8_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its int8 weights as uint8 of zero point 128, the same numbers."""
    again = onnx.ModelProto()
    again.CopyFrom(model)
    weights = [tensor for tensor in again.graph.initializer if tensor.name.endswith("_quantized") and tensor.data_type == TensorProto.INT8]
    zeros = {tensor.name.removesuffix("_quantized") + "_zero_point" for tensor in weights if tensor.dims[1:]}
    assert len(zeros) == 4
    for tensor in again.graph.initializer:
        if tensor.name in zeros or (tensor in weights and tensor.dims[1:]):
            whole = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array((whole.astype(np.int16) + 128).astype(np.uint8), tensor.name))
    return again


WIDE = np.random.default_rng(8)
EACH = "of each channel"
ZEROS = {"one, off the middle": 97, "one, at the lower end": 0, "one, at the upper end": 255, EACH: -1}


@pytest.mark.parametrize("zero", ZEROS)
@pytest.mark.parametrize(
    "op", ["Gemm", "MatMul", "Conv", "Conv in groups", "depthwise Conv", "depthwise Conv, two of each", "Conv of a sequence"]
)
def test_uint8_weights_with_a_zero_point_are_read_exactly(op: str, zero: str) -> None:
    """Where a sum is no tie, or nearly one, which one rounding and two may tell apart, there is one answer."""
    group = {"Conv in groups": 2, "depthwise Conv": 4, "depthwise Conv, two of each": 4}.get(op, 1)
    outputs = {"depthwise Conv": 4, "depthwise Conv, two of each": 8}.get(op, 6)
    dense, taps = op in ("Gemm", "MatMul"), (3,) if "sequence" in op else (2, 3)
    shape = (16,) if dense else (4, *((9,) if "sequence" in op else (5, 6)))
    weight = WIDE.integers(0, 256, (outputs, *((16,) if dense else (4 // group, *taps)))).astype(np.uint8)
    weight.reshape(-1)[:2] = 0, 255
    zeros = WIDE.integers(0, 256, outputs).astype(np.uint8) if zero == EACH else np.array(ZEROS[zero], np.uint8)
    scales = np.where(np.arange(outputs) % 2, 0.5, 1).astype(np.float32) if zeros.ndim else np.float32(0.5)
    constants: dict[str, Array] = {"xs": scale(0.5), "ws": np.asarray(scales), "ys": scale(0.25 * 601), "w": weight}
    constants |= {"xz": np.array(115, np.uint8), "wz": zeros, "yz": np.array(131, np.uint8)}
    if op == "MatMul":
        constants["w"] = weight.T
    nodes = [
        N("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        N("DequantizeLinear", ["q", "xs", "xz"], ["xf"]),
        N("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=1 if op == "MatMul" else 0),
    ]
    if dense:
        nodes.append(N("Gemm", ["xf", "wf"], ["p"], transB=1) if op == "Gemm" else N("MatMul", ["xf", "wf"], ["p"]))
    else:
        nodes.append(N("Conv", ["xf", "wf"], ["p"], group=group, pads=[1] * 2 * len(taps)))
    sums = [*nodes[:-1], replace_output(nodes[-1], "y")]
    nodes += [N("QuantizeLinear", ["p", "ys", "yz"], ["r"]), N("DequantizeLinear", ["r", "ys", "yz"], ["y"])]
    out = (outputs, *(size + 2 - taps[i] + 1 for i, size in enumerate(shape[1:])))
    data = build(nodes, constants, shape=["N", *shape], output_shape=["N", *out])
    network = from_onnx(data)
    assert network.metadata["source"]["split_weights"] == ["p"]
    x = (0.5 * WIDE.integers(-115, 141, (40, *shape))).astype(np.float32)
    steps = quantise_array(x, network.input_quant or Quant((1.0,)))
    expected = integers(network, run_onnx(onnx.load_from_string(data), x, optimised=False))
    actual = ours(network, steps)[network.layers[-1].name].reshape(expected.shape)
    exact = run_onnx(onnx.load_from_string(build(sums, constants, shape=["N", *shape], output_shape=["N", *out])), x, optimised=False)
    clear = np.abs(exact / (0.25 * 601) % 1 - 0.5) > 0.01
    assert len(set(actual.reshape(-1).tolist())) > 30
    assert clear.mean() > 0.95
    assert np.abs(actual - expected).max() <= 1
    np.testing.assert_array_equal(actual[clear], expected[clear])


def replace_output(node: onnx.NodeProto, name: str) -> onnx.NodeProto:
    """The node with another name for its output."""
    again = onnx.NodeProto()
    again.CopyFrom(node)
    again.output[0] = name
    return again


def test_a_weight_of_minus_128_is_read_in_two_parts() -> None:
    weight = np.full((4, 3, 3, 3), -128, np.int8)
    data = build([IN, N("QLinearConv", ["q", *X, "w", *W, *Y], ["p"]), OUT], parts(np.int8) | {"w": weight}, shape=["N", *SHAPE],
                 output_shape=["N", 4, 4, 3])  # fmt: skip
    network = from_onnx(data)
    assert network.metadata["source"]["split_weights"] == ["p"]
    np.testing.assert_array_equal(network["p"].params["weight"], np.tile(np.repeat([-127, -1], 3), (4, 3, 3, 1)))


def test_a_weight_with_a_zero_point_of_a_float_layer_is_float() -> None:
    nodes = [N("DequantizeLinear", ["w", "ws", "wz"], ["wf"]), N("MatMul", ["x", "wf"], ["y"])]
    weight = WIDE.integers(0, 256, (16, 5)).astype(np.uint8)
    constants = {"w": weight, "ws": scale(0.01), "wz": np.array(30, np.uint8)}
    network = from_onnx(build(nodes, constants, shape=["N", 16], output_shape=["N", 5]))
    assert network.numerics == ("float32",)
    np.testing.assert_array_equal(
        network.layers[0].params["weight"], ((weight.T.astype(np.float64) - 30) * np.float32(0.01)).astype(np.float32)
    )


def qdq(name: str, source: str, target: str, of: str) -> list[onnx.NodeProto]:
    """A tensor sent through the integers of X or Y."""
    scales = X if of == "x" else Y
    return [N("QuantizeLinear", [source, *scales], [f"{name}.q"]), N("DequantizeLinear", [f"{name}.q", *scales], [target])]


WEIGHT = [N("DequantizeLinear", ["w", *W], ["wf"])]
FILTER = {"w": signed(np.int8, 4, 3, 3, 3)}


def test_a_relu_and_a_transposition_between_integers_change_nothing() -> None:
    nodes = [*qdq("a", "x", "xf", "x"), *WEIGHT, N("Conv", ["xf", "wf"], ["c"]), N("Relu", ["c"], ["r"]), *qdq("b", "r", "rf", "y"),
             N("Transpose", ["rf"], ["t"], perm=[0, 2, 3, 1]), *qdq("d", "t", "tf", "y"), N("Flatten", ["tf"], ["y"])]  # fmt: skip
    network = from_onnx(build(nodes, parts(np.int8) | FILTER, shape=["N", *SHAPE], output_shape=["N", 48]))
    assert [(layer.kind, kind(layer).attributes.get("activation")) for layer in network] == [
        ("transpose", None),
        ("conv2d", "relu"),
        ("reshape", None),
    ]


def test_a_change_of_scale_between_two_integer_tensors_is_a_layer() -> None:
    nodes = [*qdq("a", "x", "xf", "x"), *WEIGHT, N("Conv", ["xf", "wf"], ["c"]), *qdq("b", "c", "cf", "y"), *qdq("d", "cf", "y", "x")]
    data = build(nodes, parts(np.int8) | FILTER, shape=["N", *SHAPE], output_shape=["N", 4, 4, 3])
    network = from_onnx(data)
    assert [layer.kind for layer in network] == ["transpose", "conv2d", "requantise", "transpose"]
    assert network.layers[1].quant["output"] == Quant((float(np.float32(0.03)),), 5)
    same_numbers(data, network, RNG.normal(size=(20, *SHAPE)).astype(np.float32))


def test_an_integer_image_is_read() -> None:
    """A graph that takes int8, as quantisers for accelerators write it."""
    nodes = [
        N("QLinearConv", ["x", *X, "w", *W, *Y], ["p"]),
        N("MaxPool", ["p"], ["m"], kernel_shape=[2, 2]),
        N("DequantizeLinear", ["m", *Y], ["y"]),
    ]
    network = from_onnx(
        build(nodes, parts(np.int8) | FILTER, shape=["N", *SHAPE], output_shape=["N", 4, 3, 2], input_type=TensorProto.INT8)
    )
    assert network.input_quant == Quant((float(np.float32(0.02)),), -3)
    assert [layer.kind for layer in network] == ["transpose", "conv2d", "max_pool2d", "transpose"]


def test_what_is_float_between_integers_is_computed_in_float() -> None:
    """A logistic and a sum that no scale follows, an average that none does, and a last layer in float."""
    own = parts(np.int8) | {
        "w": signed(np.int8, 4, 3, 3, 3),
        "d": draw(1, 4, 1, 1),
        "m": signed(np.int8, 4, 5),
        "ms": scale(0.01),
        "mz": np.array(0, np.int8),
    }
    nodes = [
        *qdq("input", "x", "xf", "x"),
        N("DequantizeLinear", ["w", *W], ["wf"]),
        N("Conv", ["xf", "wf"], ["c"]),
        *qdq("conv", "c", "cf", "y"),
        N("Sigmoid", ["cf"], ["s"], name="sigmoid"),
        N("Add", ["s", "d"], ["a"], name="shifted"),
        *qdq("sum", "a", "af", "y"),
        N("GlobalAveragePool", ["af"], ["p"], name="mean"),
        N("Flatten", ["p"], ["f"]),
        N("DequantizeLinear", ["m", "ms", "mz"], ["mf"]),
        N("MatMul", ["f", "mf"], ["y"], name="last"),
    ]
    data = build(nodes, own, shape=["N", *SHAPE], output_shape=["N", 5])
    network, x = from_onnx(data), RNG.normal(size=(20, *SHAPE)).astype(np.float32)
    assert network.metadata["source"]["float_layers"] == ["sigmoid", "shifted", "mean", "last"]
    assert network.numerics == ("int8", "float32")
    deployment = deploy(network, target="input")
    twin, given = Interpreter(deployment.program), deployment.inputs(x)
    made = HostTarget(deployment.program).predict_many(given)[1]
    for sample, row in zip(given, made, strict=True):
        twin.predict(sample)
        np.testing.assert_array_equal(twin.output(), row)
    theirs = run_onnx(onnx.load_from_string(data), x, optimised=False).reshape(20, 5)
    step = 0.03 / 12 * 1.27  # a tie in one of the 12 integers of a mean, times the largest weight
    np.testing.assert_allclose(made, theirs, atol=2 * step)
    assert np.mean(np.abs(made - theirs) < 1e-5) > 0.5
