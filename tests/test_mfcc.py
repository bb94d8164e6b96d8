"""Mel-frequency cepstral coefficients: MLPerf Tiny's official features from the raw clips, and audio in every execution to the bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_cases import EACH_BUILD
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeff.boards import load_board
from edgeff.deploy import deploy
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.interpreter import Interpreter
from edgeff.ir import NUMERICS, Array, Layer, Network, Numeric, Program, Quant
from edgeff.kernels import FOLDER
from edgeff.kernels.mfcc import _complex_fft, bit_reversed, ln_f32
from edgeff.layers import SAMPLES, forward, raw_input, split_input
from edgeff.layers.mfcc import Recipe, coefficients, mel_weights, tables, with_features
from edgeff.lower import lower
from edgeff.networks import initialised, structure
from edgeff.quantize import quantize
from edgeff.targets.host import HostTarget
from edgeff.toolchains.host import host_shared_library
from edgeff.verify.executions import Emulated

OFFICIAL = {"rounding": "truncate", "overflow": "wrap"}
SMALL = {"rate": 8000, "frame": 120, "hop": 100, "fft": 128, "bands": 12, "coefficients": 5, "high_hz": 4000.0}
SMALL_SAMPLES = 620


@pytest.fixture(scope="module")
def clips(reference_data: Callable[[str], Path]) -> Array:
    """MLPerf Tiny's 1,000 keyword clips, (1000, 16000) int16."""
    with np.load(reference_data("speech_commands_v2_test1000_16k_int16.npz")) as file:
        return np.asarray(file["x"])


@pytest.fixture(scope="module")
def official(reference_data: Callable[[str], Path]) -> tuple[Array, Quant]:
    """Their official features, (1000, 490) int8, and what a step means."""
    with np.load(reference_data("mlperf_kws01_mfcc_int8.npz")) as file:
        quant = Quant((float(file["in_scale"]),), int(file["in_zero_point"]))
        return np.asarray(file["x"]).reshape(1000, 490), quant


def features_alone(quant: Quant) -> Program:
    """The official features and nothing behind them."""
    recipe = Recipe(rounding="truncate", overflow="wrap")
    attrs = {name: getattr(recipe, name) for name in Recipe.__dataclass_fields__}
    layer = Layer("mfcc", "mfcc", ("input",), (49, 10, 1), attrs, {}, {"output": quant})
    return deploy(Network("features", (16_000,), (layer,), SAMPLES), numeric="int8", target="input").program


def wrapped_distance(a: Array, b: Array) -> Array:
    """How many steps apart two int8 values are on the circle that wrapping makes of them."""
    return np.abs((a.astype(int) - b.astype(int) + 128) % 256 - 128)


def test_the_official_features_come_out_of_the_raw_clips(clips: Array, official: tuple[Array, Quant]) -> None:
    expected, quant = official
    program = features_alone(quant)
    by_c = HostTarget(program).predict_many(clips)[1]
    apart = wrapped_distance(by_c, expected)
    assert apart.size == 490_000
    assert apart.max() == 1
    assert np.count_nonzero(apart) == 1366
    assert 1 - np.count_nonzero(apart) / apart.size >= 0.997


def test_the_rest_is_rounding_noise_around_zero_in_silent_frames(clips: Array, official: tuple[Array, Quant]) -> None:
    """A frame of zeros has coefficients of zero; the official files hold the truncation of what rounding left of them, 83 or 82."""
    expected, quant = official
    apart = wrapped_distance(HostTarget(features_alone(quant)).predict_many(clips)[1], expected).reshape(1000, 49, 10)
    frames = np.lib.stride_tricks.sliding_window_view(clips, 480, axis=1)[:, ::320]
    silent = ~frames.any(axis=-1)
    assert np.count_nonzero(silent) == 679
    assert np.count_nonzero(apart[silent]) == 2 * 679
    assert np.count_nonzero(apart[~silent]) == 8


def test_numpy_and_c_give_the_same_490000_features(clips: Array, official: tuple[Array, Quant]) -> None:
    _, quant = official
    program = features_alone(quant)
    by_c = HostTarget(program).predict_many(clips)[1]
    twin = Interpreter(program)
    for clip, row in zip(clips, by_c, strict=True):
        twin.predict(clip)
        assert twin.output().tobytes() == row.tobytes()


def test_numpy_and_c_give_the_same_490000_floats(clips: Array) -> None:
    attrs = {name: getattr(Recipe(), name) for name in Recipe.__dataclass_fields__}
    layer = Layer("mfcc", "mfcc", ("input",), (49, 10, 1), attrs)
    program = deploy(Network("features", (16_000,), (layer,)), target="input").program
    by_c = HostTarget(program).predict_many(clips)[1]
    assert by_c.tobytes() == coefficients(clips, Recipe()).tobytes()


@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_the_emulated_core_gives_the_same_features(board: str, toolchain: str, clips: Array, official: tuple[Array, Quant]) -> None:
    program = features_alone(official[1])
    chosen = clips[[0, 8, 285]]
    made = Emulated(program, load_board(board), toolchain).results(chosen, lambda: None).scores
    assert np.array_equal(made.reshape(3, -1), HostTarget(program).predict_many(chosen)[1])


# ------------------------------------------------------------------ the mathematics


def by_the_formulae(x: Array, recipe: Recipe) -> Array:
    """The coefficients in float64 by SciPy, (B, frames, coefficients)."""
    from scipy.fft import dct, rfft
    from scipy.signal import get_window

    scaled = x / np.maximum(x.max(axis=1, keepdims=True), 1).astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(scaled, recipe.frame, axis=1)[:, :: recipe.hop]
    spectrum = np.abs(rfft(frames * get_window("hann", recipe.frame), recipe.fft, axis=-1))
    logs = np.log(spectrum @ mel_weights(recipe).T + recipe.eps)
    made: Array = recipe.gain * dct(logs, type=2, axis=-1)[..., : recipe.coefficients] / np.sqrt(2 * recipe.bands)
    return made


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(rate=8000, frame=240, hop=160, fft=256, eps=1.0, gain=1 / 8),
        Recipe(frame=1024, hop=512, fft=1024, bands=64, coefficients=64, low_hz=0.0, high_hz=8000.0),
        Recipe(frame=13, hop=7, fft=16, bands=3, coefficients=3, low_hz=0.0, high_hz=8000.0, eps=1e-3),
    ],
    ids=["keywords", "digits", "as many coefficients as bands", "tiny frames"],
)
def test_the_coefficients_are_those_of_the_formulae(recipe: Recipe) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(-32768, 32768, (4, 4000)), rng.normal(0, 300, (4, 4000))]).astype(np.int16)
    made, expected = coefficients(x, recipe)[..., 0], by_the_formulae(x, recipe)
    assert made.shape == expected.shape
    # A band's float32 sum of magnitudes is off by about 1e-6 of the frame's largest, which its logarithm and 40 terms multiply.
    assert np.abs(made - expected).max() < 5e-4


@pytest.mark.parametrize("fft", [2**k for k in range(2, 13)])
def test_the_fft_is_that_of_numpy(fft: int) -> None:
    rng = np.random.default_rng(fft)
    values = rng.normal(size=(fft // 2, 3)) + 1j * rng.normal(size=(fft // 2, 3))
    order = bit_reversed(fft // 2)
    re, im = values.real.astype(np.float32)[order], values.imag.astype(np.float32)[order]
    sine = np.sin(2 * np.pi * np.arange(3 * fft // 4) / fft).astype(np.float32)
    _complex_fft(re, im, sine, fft)
    assert np.allclose(re + 1j * im, np.fft.fft(values, axis=0), rtol=0, atol=1e-6 * fft)


@pytest.mark.parametrize("largest", [1, 32767])
def test_what_is_silent_or_below_zero_has_finite_coefficients(largest: int) -> None:
    """There the recipe would divide by nothing: the largest sample counts as at least 1."""
    silence, negative = np.zeros((1, 16_000), np.int16), np.full((1, 16_000), -largest, np.int16)
    made = coefficients(silence, Recipe())
    assert (made[0, :, 1:, 0] == 0).all()
    assert np.allclose(made[0, :, 0, 0], np.sqrt(80) * np.log(1e-6), rtol=1e-6)
    assert np.isfinite(coefficients(negative, Recipe())).all()


def test_loudness_changes_nothing_but_rounding() -> None:
    x = np.random.default_rng(0).integers(-100, 101, (1, 16_000)).astype(np.int16)
    x[0, 5] = 100
    assert np.abs(coefficients(x, Recipe()) - coefficients((x * 300).astype(np.int16), Recipe())).max() < 1e-3


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The root and the logarithm of mfcc.c over whole arrays."""
    folder = tmp_path_factory.mktemp("functions")
    loop = "void {0}s(float *y, const float *x, int32_t n) {{ for (int32_t k = 0; k < n; ++k) y[k] = {0}(x[k]); }}\n"
    text = '#include "mfcc.c"\n' + "".join(loop.format(name) for name in ("eff_root_f32", "eff_ln_f32"))
    (folder / "functions.c").write_text(text, encoding="utf-8")
    host_shared_library([folder / "functions.c"], FOLDER, folder / "functions.so")
    return ctypes.CDLL(str(folder / "functions.so"))


def mapped(function: Any, x: Array) -> Array:
    y = np.empty_like(x)
    function(y.ctypes.data_as(ctypes.c_void_p), x.ctypes.data_as(ctypes.c_void_p), ctypes.c_int32(len(x)))
    return y


def positive_floats(rng: np.random.Generator, count: int) -> Array:
    """Normal float32 numbers > 0 of every exponent, and the ends of every binade."""
    bits = rng.integers(1 << 23, 0x7F800000, count)
    ends = np.arange(1, 255)[:, None] * (1 << 23) + np.array([-1, 0, 1])
    return np.concatenate([bits, ends.reshape(-1)[1:]]).astype(np.uint32).view(np.float32)


def test_the_root_is_correctly_rounded(functions: ctypes.CDLL) -> None:
    x = positive_floats(np.random.default_rng(0), 1_000_000)
    assert np.array_equal(mapped(functions.eff_root_f32s, x), np.sqrt(x))
    below = np.array([0.0, -0.0, 2.0**-149, np.nextafter(np.float32(2.0**-126), np.float32(0))], np.float32)
    assert (mapped(functions.eff_root_f32s, below)[[0, 2, 3]] == 0).all()


def test_the_logarithm_is_within_its_bound_and_the_twin_is_the_c(functions: ctypes.CDLL) -> None:
    near_one = np.random.default_rng(1).uniform(0.5, 2.0, 1_000_000).astype(np.float32)
    x = np.concatenate([positive_floats(np.random.default_rng(0), 1_000_000), near_one, np.ones(1, np.float32)])
    made = mapped(functions.eff_ln_f32s, x)
    assert made.tobytes() == ln_f32(x).tobytes()
    expected = np.log(x.astype(np.float64))
    assert (np.abs(made - expected) <= 2.0**-22 * np.abs(expected)).all()
    assert made[-1] == 0.0


def test_bits_are_reversed() -> None:
    order = bit_reversed(1024)
    assert [int(f"{k:010b}"[::-1], 2) for k in range(1024)] == order.tolist()


def test_tables_hold_every_weight_of_every_band() -> None:
    for recipe in (Recipe(), Recipe(bands=100, coefficients=100), Recipe(**SMALL)):  # type: ignore[arg-type]
        made, bins = tables(recipe)
        spans = made["spans"].reshape(-1, 2)
        rebuilt, start = np.zeros((recipe.bands, recipe.fft // 2 + 1), np.float32), 0
        for band, (first, count) in enumerate(spans):
            rebuilt[band, first : first + count] = made["mel"][start : start + count]
            start += count
        assert np.array_equal(rebuilt, mel_weights(recipe).astype(np.float32))
        assert start == len(made["mel"])
        assert bins == np.flatnonzero(rebuilt.any(axis=0)).max() + 1 <= recipe.fft // 2


# ------------------------------------------------------------------ networks that start from audio


def small_network(seed: int = 0) -> Network:
    """A dense network of 6 frames x 5 coefficients behind the small recipe, with seeded weights."""
    return initialised(structure("30-9-4", bias=True), seed)


def small_audio(count: int) -> Array:
    """Seeded clips, the extremes of 16 bits among them, (count, 620) int16."""
    rng = np.random.default_rng(3)
    x = rng.integers(-32768, 32768, (count, SMALL_SAMPLES)) * rng.choice([1.0, 0.01, 1e-4], (count, 1))
    x[0], x[1], x[2] = 0, -32768, rng.choice([-32768, 32767], SMALL_SAMPLES)
    return x.astype(np.int16)


@pytest.mark.parametrize("numeric", NUMERICS)
def test_audio_to_scores_is_exact_on_twin_host_and_cores(numeric: Numeric) -> None:
    network = with_features(small_network(), SMALL, SMALL_SAMPLES)
    x = small_audio(40)
    made = deploy(network, x, numeric=numeric)
    program = made.program
    assert program.tensors[program.input].dtype == "int16"
    twin = Interpreter(program)
    scores, best = [], []
    for sample in made.inputs(x):
        best.append(twin.predict(sample))
        scores.append(twin.output())
    classes, on_host = HostTarget(program).predict_many(made.inputs(x))
    assert np.array_equal(on_host, np.array(scores))
    assert classes.tolist() == best
    assert len(set(best)) > 1
    for board in ("nucleo_l4r5zi", "rpi_pico"):
        found = Emulated(program, load_board(board)).results(made.inputs(x[:6]), lambda: None)
        assert np.array_equal(found.scores.reshape(6, -1), on_host[:6])


@pytest.mark.parametrize("numeric", NUMERICS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_a_network_learns_from_audio_as_from_its_features(numeric: Numeric, seed: int) -> None:
    """The same network, fed with the coefficients its own feature layer makes, learns the same bits."""
    x = small_audio(8)
    behind = with_features(small_network(seed % 1000), SMALL, SMALL_SAMPLES)
    made = deploy(behind, x, rule="pepita", numeric=numeric, seed=seed)
    from_audio = Interpreter(made.program)
    learner = Interpreter(lower(split_input(made.network)[1], "pepita", made.settings, seed=seed))
    for number, sample in enumerate(made.inputs(x)):
        from_audio.predict(sample)
        features = from_audio.tensor("infer.mfcc").reshape(-1)
        from_audio.learn(sample, number % 4)
        learner.learn(features, number % 4)
    for name in ("dense_1.weight", "dense_2.weight"):
        assert from_audio.tensor(name).tobytes() == learner.tensor(name).tobytes()


def test_host_forward_is_the_float_program_up_to_blas() -> None:
    network = with_features(small_network(), SMALL, SMALL_SAMPLES)
    x = small_audio(10)
    params = {layer.name: dict(layer.params) for layer in network}
    made = forward(network, params, x.astype(np.float32))
    assert made["mfcc"].tobytes() == coefficients(x, Recipe(**SMALL)).tobytes()  # type: ignore[arg-type]
    deployment = deploy(network)
    assert np.allclose(HostTarget(deployment.program).predict_many(deployment.inputs(x))[1], made["softmax"], atol=1e-5)


def test_audio_is_not_quantised() -> None:
    made = quantize(with_features(small_network(), SMALL, SMALL_SAMPLES), small_audio(20).astype(np.float32))
    assert made.input_quant == SAMPLES
    assert raw_input(made) == "int16"
    x = small_audio(3)
    assert np.array_equal(deploy(made, numeric="int8").inputs(x), x)
    assert x.min() == -32768


def test_int8_features_saturate_unless_they_are_asked_to_wrap() -> None:
    quant = Quant((0.05,), 0)
    network = quantize(small_network(), np.random.default_rng(0).random((9, 30), np.float32))
    network = replace(network, input_quant=quant)
    x = small_audio(12)
    exact = coefficients(x, Recipe(**SMALL)).reshape(12, 30) / np.float32(0.05)  # type: ignore[arg-type]
    for rounding in ("nearest", "truncate"):
        steps = np.trunc(exact) if rounding == "truncate" else np.trunc(exact + np.copysign(np.float32(0.5), exact))
        for overflow in ("saturate", "wrap"):
            with_mode = with_features(network, SMALL | {"rounding": rounding, "overflow": overflow}, SMALL_SAMPLES)
            twin = Interpreter(deploy(with_mode, numeric="int8").program)
            for clip, row in zip(x, steps.astype(np.int64), strict=True):
                twin.predict(clip)
                expected = np.clip(row, -128, 127) if overflow == "saturate" else (row + 128) % 256 - 128
                assert twin.tensor("infer.mfcc").reshape(-1).tolist() == expected.tolist()
    assert (np.abs(exact) > 128).any()


def test_the_features_take_the_shape_that_the_network_reads() -> None:
    network = with_features(small_network(), SMALL, SMALL_SAMPLES)
    assert [(layer.op, layer.shape) for layer in network][:2] == [("mfcc", (30,)), ("dense", (9,))]
    again = Network("taken", (6, 5, 1), (Layer("mfcc", "reshape", ("input",), (30,)),))
    assert [layer.name for layer in with_features(again, SMALL, SMALL_SAMPLES)] == ["mfcc_2", "mfcc"]


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_a_network_is_the_same_after_its_features_are_taken_off(numeric: Numeric) -> None:
    x = np.random.default_rng(0).random((9, 30), np.float32)
    network = small_network() if numeric == "float32" else quantize(small_network(), x)
    first, again = split_input(with_features(network, SMALL, SMALL_SAMPLES))
    assert first is not None
    assert first.op == "mfcc"
    assert again == network


@pytest.mark.parametrize("rule", ["bp", "dfa", "ff", "frozen", "mempepita", "pepita"])
def test_every_rule_learns_from_audio_on_the_host(rule: str) -> None:
    made = deploy(with_features(small_network(), SMALL, SMALL_SAMPLES), small_audio(20), rule=rule, numeric="int8")
    assert made.program.tensors[made.program.input].shape == (SMALL_SAMPLES,)
    x = made.inputs(small_audio(6))
    twin, host = Interpreter(made.program), HostTarget(made.program)
    for number, sample in enumerate(x):
        twin.learn(sample, number % 4)
        host.learn(sample, number % 4)
    for tensor in made.program.by_role("variable", "state"):
        assert np.array_equal(twin.tensor(tensor.name), host.tensor(tensor.name))


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"fft": 100}, SMALL_SAMPLES, r"^mfcc, fft: got 100; allowed: a power of two, 4 to 32,768$"),
    ({"frame": 129}, SMALL_SAMPLES, r"^mfcc, frame: got 129; allowed: 1 to fft samples$"),
    ({"hop": 0}, SMALL_SAMPLES, r"^mfcc, hop: got 0; "),
    ({"coefficients": 13}, SMALL_SAMPLES, r"^mfcc, coefficients: got 13; "),
    ({"high_hz": 4001.0}, SMALL_SAMPLES, r"^mfcc, high_hz: got 4001.0; allowed: at most rate / 2$"),
    ({"low_hz": float("nan")}, SMALL_SAMPLES, r"^mfcc, low_hz: got nan; "),
    ({"eps": 0.0}, SMALL_SAMPLES, r"^mfcc, eps: got 0.0; "),
    ({"rounding": "up"}, SMALL_SAMPLES, r"^mfcc, rounding: got 'up'; allowed: nearest, truncate$"),
    ({"overflow": "trap"}, SMALL_SAMPLES, r"^mfcc, overflow: got 'trap'; allowed: saturate, wrap$"),
    ({"colour": 1}, SMALL_SAMPLES, r"^mfcc: got the attribute 'colour'; allowed: rate, frame, "),
    ({}, 119, r"^audio of an mfcc layer: got 119 samples; allowed: at least a frame of 120$"),
    ({}, 720, r"^features for network '30-9-4': got \(7, 5, 1\); allowed: its input, \(30,\)$"),
]


@pytest.mark.parametrize(("change", "samples", "message"), REFUSED, ids=[",".join(case[0]) or str(case[1]) for case in REFUSED])
def test_a_recipe_that_cannot_be_is_refused_in_one_line(change: dict[str, Any], samples: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        with_features(small_network(), SMALL | change, samples)


def test_an_mfcc_that_does_not_read_the_audio_is_refused() -> None:
    first = Layer("relu", "relu", ("input",), (SMALL_SAMPLES,), {"activation": "relu"})
    second = Layer("mfcc", "mfcc", ("relu",), (6, 5, 1), dict(SMALL))
    with pytest.raises(Unsupported, match=r"^layer 'mfcc': got an mfcc of float32; allowed: int16 audio: the network's input$"):
        deploy(Network("late", (SMALL_SAMPLES,), (first, second)), target="input")
    both = (replace(second, inputs=("input",)), first)
    with pytest.raises(Unsupported, match=r"^the input of network 'both': got readers 'mfcc', 'relu'; allowed: 'mfcc' alone$"):
        deploy(Network("both", (SMALL_SAMPLES,), both), target="input")


def test_formats_without_such_a_layer_say_so() -> None:
    from edgeff.exporters.onnx import to_onnx
    from edgeff.exporters.tflite import to_tflite

    network = with_features(small_network(), SMALL, SMALL_SAMPLES)
    for export in (to_onnx, to_tflite):
        with pytest.raises(EdgeffError, match="mfcc") as caught:
            export(network)
        assert "\n" not in str(caught.value)
