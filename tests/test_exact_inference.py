"""Inference in every execution, to the bit: all 360 digits of the test set and 1,000 inputs at the extremes."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from exact_cases import digits, digits_and_extremes, float_classifier, int8_classifier
from model_files import run_litert, run_tflm
from reference_files import need_reference_model

from edgeff.device.boards import load_board
from edgeff.device.targets.host import HostTarget
from edgeff.formats import from_tflite
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import NUMERICS, Array, Layer, Network, Numeric, Quant
from edgeff.kernels.arithmetic import multiplier_and_shift, requantise
from edgeff.networks import initialised, structure
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify import BOARDS, TWIN, Verification, verify
from edgeff.verify.executions import Emulated
from edgeff.verify.explain import litert_reference, round_half_away
from edgeff.verify.libraries import LITERT_TWIN

CASES = [
    pytest.param(bias, per_channel, id=f"{'bias' if bias else 'no bias'}, per {'channel' if per_channel else 'tensor'}")
    for bias in (True, False)
    for per_channel in (True, False)
]
EXACT = {"C on the host", *(f"C on {name} (emulated {load_board(name).core})" for name in BOARDS)}


def exact_partners(found: Verification) -> set[str]:
    """Whom the twin equals to the bit, as ``verify`` says it."""
    return {row.b for row in found if row.a == TWIN and row.allowed == 0 and row.ok and row.what == "scores"}


@functools.cache
def verified(bias: bool, per_channel: bool) -> Verification:
    network = int8_classifier(bias, per_channel)
    x = digits_and_extremes(network)
    assert len(x) == 1360
    return verify(network, x)


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "per_channel"), CASES)
def test_int8_has_zero_differing_bits(bias: bool, per_channel: bool) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    found = verified(bias, per_channel)
    found.check()
    assert exact_partners(found) == EXACT | {"TFLM"}
    assert not found.skipped
    explained = next(row for row in found if row.a != TWIN)
    assert (explained.b, explained.elements, explained.differing, explained.allowed) == ("LiteRT reference", 13_600, 0, 0)
    assert explained.a == LITERT_TWIN
    assert {(row.b, row.elements) for row in found if row.what == "outputs of each of 4 calls"} == {(name, 1360 * 53) for name in EXACT}
    onnx = {row.what: row for row in found if row.b == "ONNX Runtime"}
    layers = ["outputs of layer dense_1", "outputs of layer dense_2", "outputs of layer softmax"]
    assert list(onnx) == [*layers, "scores", "best class"]
    for what in layers:
        assert onnx[what].allowed == 1
        assert onnx[what].differing < onnx[what].elements / 200
    assert onnx["scores"].allowed is onnx["best class"].allowed is None


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
def test_float_is_exact_in_our_own_executions_and_close_elsewhere(bias: bool) -> None:
    found = verify(float_classifier(bias), digits().x_test)
    found.check()
    assert exact_partners(found) == EXACT
    others = [row for row in found if row.b in ("TFLM", "LiteRT reference", "LiteRT default", "ONNX Runtime") and row.what == "scores"]
    assert len(others) == 4
    for row in others:
        assert row.allowed is not None
        assert 0 < row.allowed < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize("name", ["1-1", "5-1-7-3"])
def test_odd_sizes_are_exact_on_host_and_core(name: str, numeric: Numeric) -> None:
    network = initialised(structure(name, bias=True), 1)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(30, network.input_shape[0])), np.zeros((2, network.input_shape[0]))]).astype(np.float32)
    deployment = deploy(network, x, numeric=numeric)
    found = verify(deployment.network, x, board="rpi_pico")
    found.check()
    assert {"C on the host", "C on rpi_pico (emulated cortex-m0plus)"} <= exact_partners(found)


def test_the_reference_model_is_exact() -> None:
    """MLPerf Tiny's int8 autoencoder, 640 to 640 in ten dense layers."""
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    data = need_reference_model("ad_fcae_int8.tflite").read_bytes()
    network = from_tflite(data)
    program = deploy(network, numeric="int8").program
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(-128, 128, (20, 640)), rng.choice([-128, 127], (20, 640))]).astype(np.int8)
    twin, expected = Interpreter(program), run_tflm(data, x)
    scores = []
    for sample in x:
        twin.predict(sample)
        scores.append(twin.output())
    assert np.array_equal(np.array(scores), expected)
    assert np.array_equal(HostTarget(program).predict_many(x)[1], expected)
    assert np.array_equal(Emulated(program, load_board("nucleo_l4r5zi")).results(x, lambda: None).scores, expected)
    assert np.array_equal(litert_reference(program, x), run_litert(data, x))


# ------------------------------------------------------------------ what the libraries compute, at the borders between two integers


def one_layer(sums: Array, x_scale: float, w_scale: float, y_scale: float, *, per_channel: bool) -> Network:
    """A dense layer whose sums are its biases: its weights are zero."""
    count = len(sums)
    scales = (w_scale,) * (count if per_channel else 1)
    axis = 0 if per_channel else None
    params: dict[str, Array] = {"weight": np.zeros((count, 1), np.int8), "bias": sums.astype(np.int32)}
    quant = {"weight": Quant(scales, 0, axis), "bias": Quant(tuple(x_scale * s for s in scales), 0, axis), "output": Quant((y_scale,), 0)}
    layer = Layer("dense_1", Dense(), ("input",), (count,), params, quant)
    return Network("sums", (1,), (layer,), Quant((x_scale,), 0))


def border_sums(real: float) -> Array:
    """The integers around each half of an output step."""
    halves = np.rint((np.arange(-100, 100) + 0.5) / real)
    return np.unique(np.concatenate([halves + near for near in range(-2, 3)])).astype(np.int64)


def random_scales(rng: np.random.Generator) -> tuple[float, float, float]:
    """Scales of input, weights and output as float32 holds them; about 100,000 sums an output step."""
    x, w = (float(np.float32(v)) for v in rng.uniform(0.001, 0.01, 2))
    return x, w, float(np.float32(rng.uniform(1.0, 3.0) * x * w * 100_000))


@pytest.mark.parametrize("per_channel", [False, True])
def test_tflm_multiplies_the_scales_in_float64(per_channel: bool) -> None:
    """Where a product of scales in float32 would give another output, TFLM gives that of the product in float64."""
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    rng, deciding, x = np.random.default_rng(0), 0, np.zeros((1, 1), np.int8)
    for _ in range(60):
        x_scale, w_scale, y_scale = random_scales(rng)
        sums = border_sums(x_scale * w_scale / y_scale)
        wide = requantise(sums, *multiplier_and_shift(x_scale * w_scale / y_scale))
        narrow = requantise(sums, *multiplier_and_shift(float(np.float32(x_scale) * np.float32(w_scale)) / y_scale))
        chosen = np.flatnonzero(wide != narrow)
        if len(chosen) < 2:
            continue
        deciding += len(chosen)
        made = run_tflm(to_tflite(one_layer(sums[chosen], x_scale, w_scale, y_scale, per_channel=per_channel)), x)[0]
        assert np.array_equal(made, np.clip(wide[chosen], -128, 127))
    assert deciding > 500


def in_fixed_point(sums: Array, real: float) -> Array:
    """One rounding of the 64-bit product with the 31-bit multiplier, ties upwards."""
    multiplier, shift = multiplier_and_shift(real)
    return (sums * multiplier + (1 << (30 - shift))) >> (31 - shift)


def test_litert_reference_rounds_once_and_in_floating_point() -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    rng, x, count, missed = np.random.default_rng(0), np.zeros((1, 1), np.int8), 0, 0
    for number in range(60):
        x_scale, w_scale, y_scale = (1.0, 0.5**number, 1.0) if 1 <= number < 11 else random_scales(rng)
        network = one_layer(border_sums(x_scale * w_scale / y_scale), x_scale, w_scale, y_scale, per_channel=bool(number % 2))
        program = deploy(network, numeric="int8").program
        made = run_litert(to_tflite(network), x)
        assert np.array_equal(litert_reference(program, x), made)
        sums = network.layers[0].params["bias"].astype(np.int64)
        count += made.size
        missed += int(np.count_nonzero(np.clip(in_fixed_point(sums, x_scale * w_scale / y_scale), -128, 127) != made[0]))
    assert count > 40_000
    assert missed > 0  # the form with a fixed-point multiplier does not explain LiteRT


def test_round_half_away() -> None:
    values = np.array([0.5, 1.5, -0.5, -1.5, 2.4999999999999996, -2.4999999999999996, 2**52 + 1.0, -(2**52) - 1.0, 0.0])
    assert round_half_away(values).tolist() == [1, 2, -1, -2, 2, -2, 2**52 + 1, -(2**52) - 1, 0]


@pytest.mark.parametrize("scale", [0.004, 0.03, 0.0625, 0.1, 0.25, 0.7, 3.0, 15.9])
@pytest.mark.parametrize("n", [1, 2, 10, 300])
def test_int8_softmax_is_that_of_tflm_and_of_litert_reference(n: int, scale: float) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    layer = Layer("softmax", Softmax(), ("input",), (n,), quant={"output": Quant((1 / 256,), -128)})
    network = Network("softmax", (n,), (layer,), Quant((float(np.float32(scale)),), 3))
    program = deploy(network, numeric="int8").program
    rng = np.random.default_rng(n)
    near = np.clip(rng.normal(0, 2 / scale, (60, n)), -128, 127)
    x = np.concatenate([near, rng.integers(-128, 128, (40, n)), rng.choice([-128, 127], (10, n)), np.full((1, n), 5)]).astype(np.int8)
    data, twin = to_tflite(network), Interpreter(program)
    scores = []
    for sample in x:
        twin.predict(sample)
        scores.append(twin.output())
    assert np.array_equal(np.array(scores), run_tflm(data, x))
    assert np.array_equal(np.array(scores), run_litert(data, x))


@pytest.mark.parametrize("scale", [float(np.float32(1 / 3)), 0.25])
def test_a_fused_relu_and_odd_zero_points_are_those_of_tflm(scale: float) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    rng = np.random.default_rng(0)
    for x_zero, y_zero in ((-128, -128), (127, 127), (0, 0), (-5, 17)):
        weight = rng.integers(-127, 128, (9, 13)).astype(np.int8)
        quant = {"weight": Quant((scale / 50,)), "output": Quant((scale * 3,), y_zero)}
        layer = Layer("dense_1", Dense(activation="relu"), ("input",), (9,), {"weight": weight}, quant)
        network = Network("relu", (13,), (layer,), Quant((scale,), x_zero))
        x = np.concatenate([rng.integers(-128, 128, (50, 13)), rng.choice([-128, 127], (50, 13))]).astype(np.int8)
        twin = Interpreter(deploy(network, numeric="int8").program)
        scores = []
        for sample in x:
            twin.predict(sample)
            scores.append(twin.output())
        assert np.array_equal(np.array(scores), run_tflm(to_tflite(network), x))
        assert np.array_equal(litert_reference(twin.program, x), run_litert(to_tflite(network), x))
