"""int16 activations with int8 weights (TFLite's 16x8): files of every operator are read, written and computed as TFLM does, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from random_networks import EVERY, random_network
from reference_files import FOLDER
from tflite_files import VALID, File

from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.kernels.chords import tripled
from edgeff.kernels.wide import requantise_wide
from edgeff.networks import initialised, random_inputs, structure
from edgeff.ops import forward, parameters
from edgeff.ops.conv2d import Conv2d
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.program.quantize import quantize
from edgeff.registry import ops
from edgeff.verify import verify
from edgeff.verify.engines import Litert, Process, Tflm
from edgeff.verify.explain import litert_reference

SAME = schema.Padding.SAME
IMAGE = (1, 6, 5, 4)
RELU, RELU6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6


BIASES = {"int32": schema.TensorType.INT32, "int64": schema.TensorType.INT64, None: schema.TensorType.FLOAT32}


class Wide(File):
    """A file of int16 tensors, zero points 0, and int8 weights."""

    def __init__(self, shape: tuple[int, ...] = IMAGE, scale: float = 3e-4) -> None:
        super().__init__()
        self.rng = np.random.default_rng(5)
        self.x = self.wide("x", shape, scale)

    def wide(self, name: str, shape: tuple[int, ...], scale: float, data: Array | None = None) -> int:
        return self.tensor(name, shape, "int16", scale=[scale], data=data)

    def op(self, name: str, inputs: list[int], shape: tuple[int, ...], scale: float = 3e-4, options: str = "", **fields: Any) -> int:
        y = self.wide(f"{name.lower()}_{len(self.tensors)}", shape, scale)
        self.operator(name, inputs, [y], options, **fields)
        return y

    def weights(
        self,
        shape: tuple[int, ...],
        axis: int,
        bias: str | None = "int64",
        size: int = 10_000_000,
        *,
        channels: bool = True,
        by: float = 3e-4,
    ) -> list[int]:
        """A weight, one scale or one for each channel, and a bias of that dtype."""
        count = shape[axis]
        scales = self.rng.uniform(0.002, 0.02, count if channels else 1).astype(np.float32).tolist()
        w = self.tensor("w", shape, "int8", data=self.rng.integers(-128, 128, shape), scale=scales, axis=axis)
        if bias is None:
            return [w]
        return [w, self.tensor("b", (count,), bias, data=self.rng.integers(-size, size, count), scale=[each * by for each in scales])]

    def done(self, y: int, *more: int) -> bytes:
        return self.pack([self.x, *more], [y])


def dense(bias: str | None = "int64", fused: int = 0, scale: float = 4e-3, **options: Any) -> bytes:
    file = Wide((1, 40))
    inputs = [file.x, *file.weights((7, 40), 0, bias, **options), *([-1] if bias is None else [])]
    return file.done(
        file.op(
            "FULLY_CONNECTED", inputs, (1, 7), scale, "FullyConnectedOptions", fusedActivationFunction=fused, quantizedBiasType=BIASES[bias]
        )
    )


def conv(bias: str | None = "int64", fused: int = 0) -> bytes:
    file = Wide()
    inputs = [file.x, *file.weights((6, 3, 3, 4), 0, bias)]
    options = {"padding": SAME, "strideH": 1, "strideW": 2, "fusedActivationFunction": fused, "quantizedBiasType": BIASES[bias]}
    return file.done(file.op("CONV_2D", inputs, (1, 6, 3, 6), 4e-3, "Conv2DOptions", **options))


def depthwise(multiplier: int = 1, **fields: Any) -> bytes:
    file = Wide()
    options = {"padding": VALID, "strideH": 1, "strideW": 1, "depthMultiplier": multiplier} | fields
    inputs = [file.x, *file.weights((1, 3, 2, 4 * multiplier), 3)]
    shape = (1, 4, 4, 4 * multiplier)
    return file.done(file.op("DEPTHWISE_CONV_2D", inputs, shape, 2e-3, "DepthwiseConv2DOptions", **options))


def transposed(bias: str = "int64", padding: int = SAME, shape: tuple[int, ...] = (1, 12, 10, 3)) -> bytes:
    file = Wide()
    size = file.tensor("size", (4,), "int32", data=np.array(shape))
    inputs = [size, *file.weights((3, 3, 3, 4), 0, bias)]
    inputs.insert(2, file.x)
    fields = {"padding": padding, "strideH": 2, "strideW": 2}
    return file.done(file.op("TRANSPOSE_CONV", inputs, shape, 3e-3, "TransposeConvOptions", **fields))


def two(name: str, options: str, scale: float, other: tuple[int, ...] = IMAGE, by: float = 5e-4, **fields: Any) -> bytes:
    """An operator of the input and of constant numbers in steps of ``by``."""
    file = Wide()
    right = file.wide("numbers", other, by, np.random.default_rng(3).integers(-32768, 32768, other))
    return file.done(file.op(name, [file.x, right], IMAGE, scale, options, **fields))


def one(
    name: str, shape: tuple[int, ...], x_scale: float, y_scale: float, options: str = "", given: tuple[int, ...] = IMAGE, **fields: Any
) -> bytes:
    file = Wide(given, x_scale)
    return file.done(file.op(name, [file.x], shape, y_scale, options, **fields))


def with_numbers(name: str, numbers: Sequence[Array], shape: tuple[int, ...], options: str, scale: float = 3e-4, **fields: Any) -> bytes:
    """An operator of the input and constant int32 numbers."""
    file = Wide()
    rest = [file.tensor(f"n{place}", each.shape, "int32", data=each) for place, each in enumerate(numbers)]
    return file.done(file.op(name, [file.x, *rest], shape, scale, options, **fields))


def padded() -> bytes:
    file = Wide()
    rows = file.tensor("rows", (4, 2), "int32", data=np.array([[0, 0], [1, 0], [2, 1], [0, 1]]))
    number = file.wide("number", (1,), 3e-4, np.array([-32768]))
    return file.done(file.op("PADV2", [file.x, rows, number], (1, 7, 8, 5), 3e-4, "PadV2Options"))


def joined() -> bytes:
    file = Wide()
    made = file.op("RELU", [file.x], IMAGE)
    return file.done(file.op("CONCATENATION", [file.x, made, file.x], (1, 6, 5, 12), 3e-4, "ConcatenationOptions", axis=3))


def formats() -> bytes:
    """int16 to int8 and back, in other steps."""
    file = Wide()
    narrow = file.tensor("narrow", IMAGE, "int8", scale=[0.07], zero=-9)
    file.operator("QUANTIZE", [file.x], [narrow], "QuantizeOptions")
    lifted = file.tensor("lifted", IMAGE, "int8", scale=[0.07], zero=-9)
    file.operator("RELU", [narrow], [lifted])
    return file.done(file.op("QUANTIZE", [lifted], IMAGE, 4e-4, "QuantizeOptions"))


def pool(name: str, **fields: Any) -> bytes:
    options = {"padding": SAME, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 2} | fields
    return one(name, (1, 3, 3, 4), 3e-4, 3e-4, "Pool2DOptions", **options)


RUNS = [np.array(each) for each in ([0, 1, 0, 1], [1, 6, 5, 4], [1, 2, 1, 2])]
FILES: Mapping[str, Callable[[], bytes]] = {
    "dense": dense,
    "dense, one scale, ReLU": lambda: dense(fused=RELU, channels=False),
    "dense without a bias, ReLU6": lambda: dense(None, RELU6),
    "dense, 32-bit sums": lambda: dense("int32"),
    "dense, saturated": lambda: dense(scale=2e-4),
    "dense, a bias beyond 32 bits": lambda: dense(size=1 << 40, scale=20.0),
    "conv2d": conv,
    "conv2d without a bias, ReLU6": lambda: conv(None, RELU6),
    "conv2d, 32-bit sums": lambda: conv("int32", RELU),
    "depthwise": depthwise,
    "depthwise, two outputs a channel": lambda: depthwise(2, fusedActivationFunction=RELU6),
    "transposed convolution": transposed,
    "transposed convolution, VALID": lambda: transposed(padding=VALID, shape=(1, 13, 11, 3)),
    "add": lambda: two("ADD", "AddOptions", 9e-4, potScaleInt16=False),
    "add, broadcast, ReLU": lambda: two("ADD", "AddOptions", 2e-4, (1, 1, 1, 4), fusedActivationFunction=RELU),
    "sub": lambda: two("SUB", "SubOptions", 6e-4, (1, 6, 1, 4), 1e-5),
    "mul": lambda: two("MUL", "MulOptions", 4e-3, fusedActivationFunction=RELU6),
    "minimum": lambda: two("MINIMUM", "MaximumMinimumOptions", 3e-4, (1, 1, 1, 4), 3e-4),
    "maximum": lambda: two("MAXIMUM", "MaximumMinimumOptions", 3e-4, IMAGE, 3e-4),
    "concatenation": joined,
    "pad": padded,
    "pad before a convolution": lambda: with_numbers("PAD", [np.array([[0, 0], [1, 2], [0, 1], [0, 0]])], (1, 9, 6, 4), "PadOptions"),
    "slice": lambda: with_numbers("STRIDED_SLICE", RUNS, (1, 3, 5, 2), "StridedSliceOptions", endMask=15),
    "mean": lambda: with_numbers("MEAN", [np.array([1, 2])], (1, 1, 1, 4), "ReducerOptions", 1e-4, keepDims=True),
    "resize": lambda: with_numbers("RESIZE_NEAREST_NEIGHBOR", [np.array([12, 10])], (1, 12, 10, 4), "ResizeNearestNeighborOptions"),
    "max pool": lambda: pool("MAX_POOL_2D", fusedActivationFunction=RELU6),
    "average pool": lambda: pool("AVERAGE_POOL_2D"),
    "relu": lambda: one("RELU", IMAGE, 3e-4, 2e-4),
    "relu6": lambda: one("RELU6", IMAGE, 3e-4, 3e-4),
    "leaky relu": lambda: one("LEAKY_RELU", IMAGE, 3e-4, 2e-4, "LeakyReluOptions", alpha=0.3),
    "leaky relu, falling": lambda: one("LEAKY_RELU", IMAGE, 3e-4, 4e-4, "LeakyReluOptions", alpha=-0.7),
    "logistic": lambda: one("LOGISTIC", IMAGE, 5e-4, 1 / 32768),
    "logistic of steps of 2**-12": lambda: one("LOGISTIC", IMAGE, 2.0**-12, 1 / 32768),
    "tanh": lambda: one("TANH", IMAGE, 2e-4, 1 / 32768),
    "tanh of steps of 2**-11": lambda: one("TANH", IMAGE, 2.0**-11, 1 / 32768),
    "softmax": lambda: one("SOFTMAX", (1, 12), 4e-4, 1 / 32768, "SoftmaxOptions", given=(1, 12), beta=1.0),
    "softmax of rows": lambda: one("SOFTMAX", IMAGE, 9e-5, 1 / 32768, "SoftmaxOptions", beta=1.0),
    "changes of format": formats,
}
NOT_IN_TFLITE = ("batch_norm", "label", "normalise", "standardise")
"""Folded before it is quantised, or without an integer form there."""


@pytest.fixture(scope="module")
def tflm() -> Process:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    return Process("tflm")


@pytest.fixture(scope="module")
def litert() -> Process:
    return Process("litert")


def inputs(network: Network, count: int = 24) -> Array:
    """Samples at the ends of int16, beyond the functions' ranges and near 0."""
    rng = np.random.default_rng(11)
    whole = rng.integers(-32768, 32768, (count, *network.input_shape))
    whole[: count // 3] = np.rint(whole[: count // 3] * rng.uniform(1e-3, 0.3, (count // 3, *[1] * (whole.ndim - 1))))
    whole[-1], whole[-2], whole[-3] = -32768, 32767, 0
    return whole.astype(np.int16)


def scores(network: Network, x: Array) -> Array:
    twin, rows = Interpreter(deploy(network, target="input").program), []
    for sample in x:
        twin.predict(sample.reshape(-1))
        rows.append(twin.output().copy())
    return np.array(rows)


def network_file(*, real: bool) -> bytes:
    """A small keyword network; ``real``: with float ends."""
    file = Wide(scale=3e-4)
    x = file.x
    if real:
        x = file.tensor("real", IMAGE)
        file.operator("QUANTIZE", [x], [file.x], "QuantizeOptions")
    windows = {"padding": SAME, "strideH": 1, "strideW": 1}
    y = file.op("CONV_2D", [file.x, *file.weights((4, 3, 3, 4), 0)], IMAGE, 4e-3, "Conv2DOptions", **windows, fusedActivationFunction=RELU)
    weights = file.weights((1, 3, 3, 4), 3, None)
    z = file.op("DEPTHWISE_CONV_2D", [y, *weights], IMAGE, 9e-3, "DepthwiseConv2DOptions", **windows, depthMultiplier=1)
    y = file.op("ADD", [y, z], IMAGE, 8e-3, "AddOptions", potScaleInt16=False)
    pools = {"padding": VALID, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    y = file.op("MAX_POOL_2D", [y], (1, 3, 2, 4), 8e-3, "Pool2DOptions", **pools)
    y = file.op("MEAN", [y, file.tensor("axes", (2,), "int32", data=np.array([1, 2]))], (1, 4), 5e-3, "ReducerOptions")
    y = file.op("FULLY_CONNECTED", [y, *file.weights((5, 4), 0, size=100_000, by=5e-3)], (1, 5), 3e-4, "FullyConnectedOptions")
    y = file.op("SOFTMAX", [file.op("TANH", [y], (1, 5), 1 / 32768)], (1, 5), 1 / 32768, "SoftmaxOptions", beta=1.0)
    if not real:
        return file.done(y)
    end = file.tensor("end", (1, 5))
    file.operator("DEQUANTIZE", [y], [end], "DequantizeOptions")
    return file.pack([x], [end])


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_int16_activations_is_tflm_s_to_the_bit(name: str, tflm: Process) -> None:
    data = FILES[name]()
    network = from_tflite(data)
    x = inputs(network)
    ours = scores(network, x)
    assert ours.dtype == np.int16
    np.testing.assert_array_equal(ours, Tflm(data, tflm)(x, lambda: None).reshape(ours.shape))


@pytest.mark.parametrize("name", FILES)
def test_a_network_with_int16_activations_is_written_and_read_again(name: str, tflm: Process, litert: Process) -> None:
    """LiteRT rounds once in a dense layer and has other tables in a softmax: its twin has both, and is exact."""
    network = from_tflite(FILES[name]())
    x = inputs(network)
    written = to_tflite(network)
    ours = scores(network, x)
    np.testing.assert_array_equal(ours, Tflm(written, tflm)(x, lambda: None).reshape(ours.shape))
    np.testing.assert_array_equal(ours, scores(from_tflite(written), x))
    explained = litert_reference(deploy(network, target="input").program, x.reshape(len(x), -1)).reshape(ours.shape)
    np.testing.assert_array_equal(explained, Litert(written, "BUILTIN_REF", litert)(x, lambda: None).reshape(ours.shape))


@pytest.mark.parametrize("real", [False, True])
def test_a_network_with_int16_activations_is_alike_in_every_execution(real: bool) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    network = from_tflite(network_file(real=real))
    assert network.numerics == ("int16",)
    x = np.random.default_rng(0).normal(scale=2.0, size=(16, *network.input_shape)).astype(np.float32)
    found = verify(network, x, board="nucleo_l4r5zi", emulated=1)
    found.check()
    exact = {row.b for row in found if row.what == "scores" and row.differing == 0}
    assert exact >= {"C on the host", "C on nucleo_l4r5zi (emulated cortex-m4)", "TFLM", "LiteRT reference"}
    assert [skipped.name for skipped in found.skipped] == ["ONNX Runtime"]


def test_float_ends_are_rounded_by_the_caller(tflm: Process) -> None:
    data = network_file(real=True)
    network = from_tflite(data)
    deployment = deploy(network)
    x = np.random.default_rng(0).normal(scale=2.0, size=(8, *network.input_shape)).astype(np.float32)
    theirs = Tflm(data, tflm)(x, lambda: None).reshape(8, -1)
    ours = scores(network, deployment.inputs(x).reshape(x.shape)).reshape(8, -1)
    np.testing.assert_array_equal(ours * np.float32(1 / 32768), theirs)


@pytest.mark.parametrize("number", [*range(10, 18), 20, 21])
def test_a_public_file_with_int16_activations_is_tflm_s_to_the_bit(number: int, tflm: Process) -> None:
    """Layers of the speech codec SEANet, from TFLM's tests."""
    files = sorted((FOLDER / "public").glob(f"{number:03}_tensorfl_*.tflite"))
    if not files:
        pytest.skip("the public models are missing: EDGEFF_MODELS_DIR names the folder they lie in")
    data = files[0].read_bytes()
    network = from_tflite(data)
    deployment = deploy(network, target="input")
    twin, rng = Interpreter(deployment.program), np.random.default_rng(number)
    samples = [[rng.integers(-32768, 32768, each.shape).astype(np.int16) for each in deployment.program.inputs] for _ in range(3)]
    given = [np.array(parts) for parts in zip(*samples, strict=True)]
    theirs = Tflm(data, tflm)(given if len(given) > 1 else given[0], lambda: None)
    for sample, expected in zip(samples, theirs, strict=True):
        twin.predict(np.concatenate([part.reshape(-1) for part in sample]))
        np.testing.assert_array_equal(twin.output().reshape(-1), expected.reshape(-1))


def test_sums_of_64_bits_are_rescaled_by_15_bits() -> None:
    """The multiplier cut to 15 bits, ties upwards, at both ends of the sums."""
    multiplier, shift = np.array([2**30, 2**31 - 1, 2**30 + 2**15], np.int32), np.array([0, -1, 7], np.int32)
    for value in (-(2**46), -3, -1, 0, 1, 2**46 + 5):
        expected = [Fraction(value * 2**14, 2**15), Fraction(value * (2**15 - 1), 2**16), Fraction(value * (2**14 + 1), 2**8)]
        assert requantise_wide(np.array([value] * 3), multiplier, shift).tolist() == [floor(each + Fraction(1, 2)) for each in expected]


def test_inputs_of_chords_are_exact_at_powers_of_two_alone() -> None:
    assert tripled(2.0**-12, 0) == (3, 0)
    assert tripled(2.0**-11, 1) == (6, 0)
    assert tripled(2.0**-11, 0) == (6 * 2**12, 12)
    with pytest.raises(ValueError, match="3"):
        tripled(3.0, 0)


def refusal(data: bytes) -> str:
    with pytest.raises(EdgeffError) as caught:
        deploy(from_tflite(data), target="input")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_no_runtime_computes_is_refused() -> None:
    file = Wide()
    weights = file.weights((1, 3, 3, 4), 3, "int32")
    fields = {"padding": SAME, "strideH": 1, "strideW": 1, "depthMultiplier": 1}
    data = file.done(file.op("DEPTHWISE_CONV_2D", [file.x, *weights], IMAGE, 4e-3, "DepthwiseConv2DOptions", **fields))
    assert "operator 'DEPTHWISE_CONV_2D': got a bias of int32 beside int16 activations" in refusal(data)
    assert "a bias of int32 beside int16 activations" in refusal(transposed("int32"))
    file = Wide((1, 40))
    inputs_ = [file.x, *file.weights((7, 40), 0, None), -1]
    narrow = file.op("FULLY_CONNECTED", inputs_, (1, 7), 4e-3, "FullyConnectedOptions", quantizedBiasType=schema.TensorType.INT32)
    assert "got sums of 32 bits without a bias" in refusal(file.done(narrow))
    assert "output: got scale 0.001 and zero point 0; allowed: 1/32768 and 0" in refusal(one("TANH", IMAGE, 2e-4, 1e-3))
    assert "got inputs in steps of 3; allowed: less than 2.66" in refusal(one("LOGISTIC", IMAGE, 3.0, 1 / 32768))
    assert "factor below 128" in refusal(dense(scale=1e-8))


def test_operators_without_an_int16_form_are_refused_as_the_file_is_read() -> None:
    with pytest.raises(Unsupported, match=r"hard_swish in int16: got int16; allowed: float32, int8$"):
        from_tflite(one("HARD_SWISH", IMAGE, 3e-4, 3e-4))


def test_numbers_of_another_type_than_the_inputs_are_refused() -> None:
    file = Wide()
    y = file.tensor("y", IMAGE, "int8", scale=[0.1])
    file.operator("RELU", [file.x], [y])
    with pytest.raises(BadInput, match="operator 'RELU': got an output of int8; allowed: int16, that of its inputs"):
        from_tflite(file.done(y))
    plain = File()
    x = plain.tensor("x", IMAGE, "int16", scale=[0.1], zero=3)
    y = plain.tensor("y", IMAGE, "int16", scale=[0.1], zero=3)
    plain.operator("RELU", [x], [y])
    with pytest.raises(BadInput, match=r"input, zero point: got 3; allowed: 0"):
        from_tflite(plain.pack([x], [y]))
    file = Wide()
    middle = file.tensor("middle", IMAGE, "int32", scale=[1e-6])
    file.operator("QUANTIZE", [file.x], [middle], "QuantizeOptions")
    y = file.tensor("y", IMAGE, "int32", scale=[1e-6])
    file.operator("RELU", [middle], [y])
    with pytest.raises(Unsupported, match=r"operator 'RELU': got an int32 activation; the file has RELU x1"):
        from_tflite(file.done(y))


def test_int16_activations_do_not_learn_and_are_not_written_as_onnx() -> None:
    network = from_tflite(network_file(real=False))
    with pytest.raises(Unsupported, match=r"got int16 activations and int8 weights in layer .*; start from the float model"):
        deploy(network, rule="bp")
    with pytest.raises(Unsupported, match=r"got int16 activations; allowed: float32 and int8 in ONNX files; give commands the \.tflite"):
        to_onnx(network)


def test_convolutions_with_int16_weights_are_refused() -> None:
    quant = {"output": Quant((1e-3,), 0, dtype="int16"), "weight": Quant((1e-3,), 0, dtype="int16")}
    layer = Layer("conv", Conv2d(kernel_h=1, kernel_w=1), ("input",), (2, 2, 3), {"weight": np.ones((3, 1, 1, 4), np.int16)}, quant)
    with pytest.raises(Unsupported, match="conv2d in int16: got int16 weights"):
        lower(Network("wide", (2, 2, 4), (layer,), Quant((1e-3,), 0, dtype="int16")))


@pytest.mark.parametrize("name", ["cnn_small", "ds_cnn", "fc_ae"])
def test_a_float_network_is_quantised_to_int16_activations_and_int8_weights(name: str, tflm: Process) -> None:
    network = initialised(structure(name), 0)
    x = random_inputs(network, 0)
    made = quantize(network, x, "int16", weights="int8", per_channel=True)
    assert {str(layer.params["weight"].dtype) for layer in made.trainable} == {"int8"}
    given = deploy(made, target="input").inputs(x).reshape(x.shape)
    ours = scores(made, given).reshape(len(x), -1)
    np.testing.assert_array_equal(Tflm(to_tflite(made), tflm)(given, lambda: None).reshape(ours.shape), ours)
    exact = forward(network, parameters(network, np.float64), x.astype(np.float64))[network.layers[-1].name].reshape(len(x), -1)
    narrow = quantize(network, x, "int8", per_channel=True)
    rows = scores(narrow, deploy(narrow, target="input").inputs(x).reshape(x.shape)).reshape(len(x), -1)
    away, further = (
        np.abs((each.astype(np.float64) - quant.zero_point) * quant.scale[0] - exact).mean()
        for each, quant in ((ours, made.layers[-1].quant["output"]), (rows, narrow.layers[-1].quant["output"]))
    )
    assert away < further / 2


@pytest.mark.parametrize("seed", [7, 8, 14, 17, 31, 39])
def test_a_random_network_in_16x8_is_tflm_s_to_the_bit(seed: int, tflm: Process) -> None:
    kinds = {
        axes: tuple(name for name in names if "int16" in ops[name].numerics and name not in NOT_IN_TFLITE) for axes, names in EVERY.items()
    }
    network = random_network(seed, kinds=kinds, first="")
    x = np.random.default_rng(seed).normal(size=(4, *network.input_shape)).astype(np.float32)
    x[:2] *= np.float32(50)
    made = quantize(network, x, "int16", weights="int8", per_channel=bool(seed % 2))
    deployment = deploy(made, target="input")
    given = deployment.inputs(x)
    ours = scores(made, given.reshape(x.shape)).reshape(len(x), -1)
    np.testing.assert_array_equal(Tflm(to_tflite(made), tflm)(given.reshape(x.shape), lambda: None).reshape(ours.shape), ours)
    np.testing.assert_array_equal(HostTarget(deployment.program).predict_many(given)[1].reshape(ours.shape), ours)


def test_weights_wider_than_activations_are_refused() -> None:
    network = initialised(structure("6-3"), 0)
    with pytest.raises(BadInput, match="weights: got int16 beside int8 activations; allowed: int8, or int8 beside int16 activations"):
        quantize(network, np.ones((2, 6), np.float32), "int8", weights="int16")


def test_commands_take_files_with_int16_activations_and_of_several_number_formats(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "wide.tflite").write_bytes(network_file(real=False))
    (tmp_path / "formats.tflite").write_bytes(formats())
    exported = cli.ok("export", tmp_path / "wide.tflite", "--to", "c", "-o", tmp_path / "c")
    assert "int16, inference only" in exported.out
    assert "static const int64_t" in (tmp_path / "c" / "model.c").read_text()
    assert "int8+int16, inference only" in cli.ok("export", tmp_path / "formats.tflite", "--to", "c", "-o", tmp_path / "d").out
    names = [layer["kernel"] for layer in cli.ok("cost", tmp_path / "formats.tflite", "--json").json["layers"]]
    assert names == ["eff_rescale_i16_i8", "eff_rescale_i8_i16"]
    refused = cli("import", tmp_path / "wide.tflite", "-o", tmp_path / "wide.onnx")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "got int16 activations; allowed: float32 and int8 in ONNX files" in refused.err
