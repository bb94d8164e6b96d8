"""Mel-frequency cepstral coefficients: MLPerf Tiny's official features from the raw clips, and audio in every execution to the bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_cases import EACH_BUILD
from kernel_sources import write_kernels
from reference_files import need_reference_model

from edgeff.device.boards import load_board
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.host import host_shared_library
from edgeff.formats import from_tflite
from edgeff.ir import Array, Layer, Network, Program, Quant
from edgeff.kernels.logarithm import ln_f32
from edgeff.ops import SAMPLES, make
from edgeff.ops.mfcc import Mfcc, coefficients, mel_weights, tables, with_features
from edgeff.ops.mfcc.kernel import _complex_fft, bit_reversed
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.tasks.kws import OFFICIAL
from edgeff.verify.executions import Emulated


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
    layer = Layer("mfcc", make("mfcc", OFFICIAL), ("input",), (49, 10, 1), quant={"output": quant})
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
    layer = Layer("mfcc", Mfcc(), ("input",), (49, 10, 1))
    program = deploy(Network("features", (16_000,), (layer,)), target="input").program
    by_c = HostTarget(program).predict_many(clips)[1]
    assert by_c.tobytes() == coefficients(clips, Mfcc()).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("board", "toolchain"), EACH_BUILD)
def test_the_emulated_core_gives_the_same_features(board: str, toolchain: str, clips: Array, official: tuple[Array, Quant]) -> None:
    program = features_alone(official[1])
    chosen = clips[[0, 8, 285]]
    made = Emulated(program, load_board(board), toolchain).results(chosen, lambda: None).scores
    assert np.array_equal(made.reshape(3, -1), HostTarget(program).predict_many(chosen)[1])


@pytest.mark.slow
def test_the_reference_model_hears_what_it_reads(clips: Array, official: tuple[Array, Quant]) -> None:
    """MLPerf Tiny's int8 DS-CNN from audio: exact in every execution, and its classes are those of the official features."""
    network = from_tflite(need_reference_model("kws_dscnn_int8.tflite").read_bytes())
    features, quant = official
    assert network.input_quant == quant
    program = deploy(with_features(network, OFFICIAL, 16_000), numeric="int8").program
    classes, scores = HostTarget(program).predict_many(clips[:300])
    twin = Interpreter(program)
    for number in (0, 8, 285):
        assert twin.predict(clips[number]) == classes[number]
        assert np.array_equal(twin.output().reshape(-1), scores[number])
    for board in ("nucleo_l4r5zi", "rpi_pico"):
        found = Emulated(program, load_board(board)).results(clips[[0, 8, 285]], lambda: None)
        assert np.array_equal(found.scores.reshape(3, -1), scores[[0, 8, 285]])
    read = HostTarget(deploy(network, numeric="int8").program).predict_many(features[:300])
    assert np.array_equal(classes, read[0])
    # Where a feature is a step off, scores may differ.
    same = (wrapped_distance(HostTarget(features_alone(quant)).predict_many(clips[:300])[1], features[:300]) == 0).all(axis=1)
    assert np.array_equal(scores[same], read[1][same])
    assert np.count_nonzero(same) > 250


# ------------------------------------------------------------------ the mathematics


def by_the_formulae(x: Array, recipe: Mfcc) -> Array:
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
        Mfcc(),
        Mfcc(rate=8000, frame=240, hop=160, fft=256, eps=1.0, gain=1 / 8),
        Mfcc(frame=1024, hop=512, fft=1024, bands=64, coefficients=64, low_hz=0.0, high_hz=8000.0),
        Mfcc(frame=13, hop=7, fft=16, bands=3, coefficients=3, low_hz=0.0, high_hz=8000.0, eps=1e-3),
    ],
    ids=["keywords", "digits", "as many coefficients as bands", "tiny frames"],
)
def test_the_coefficients_are_those_of_the_formulae(recipe: Mfcc) -> None:
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
    made = coefficients(silence, Mfcc())
    assert (made[0, :, 1:, 0] == 0).all()
    assert np.allclose(made[0, :, 0, 0], np.sqrt(80) * np.log(1e-6), rtol=1e-6)
    assert np.isfinite(coefficients(negative, Mfcc())).all()


def test_loudness_changes_nothing_but_rounding() -> None:
    x = np.random.default_rng(0).integers(-100, 101, (1, 16_000)).astype(np.int16)
    x[0, 5] = 100
    assert np.abs(coefficients(x, Mfcc()) - coefficients((x * 300).astype(np.int16), Mfcc())).max() < 1e-3


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The root and the logarithm over whole arrays."""
    folder = tmp_path_factory.mktemp("functions")
    loop = "void {0}s(float *y, const float *x, int32_t n) {{ for (int32_t k = 0; k < n; ++k) y[k] = {0}(x[k]); }}\n"
    write_kernels(folder / "kernels")
    text = '#include "eff_mfcc.c"\n' + "".join(loop.format(name) for name in ("eff_sqrt_f32", "eff_ln_f32"))
    (folder / "functions.c").write_text(text, encoding="utf-8")
    host_shared_library([folder / "functions.c"], folder / "kernels", folder / "functions.so")
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
    assert np.array_equal(mapped(functions.eff_sqrt_f32s, x), np.sqrt(x))
    below = np.array([0.0, -0.0, 2.0**-149, np.nextafter(np.float32(2.0**-126), np.float32(0))], np.float32)
    assert (mapped(functions.eff_sqrt_f32s, below)[[0, 2, 3]] == 0).all()


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
    small = Mfcc(rate=8000, frame=120, hop=100, fft=128, bands=12, coefficients=5)
    for recipe in (Mfcc(), Mfcc(bands=100, coefficients=100), small):
        made, bins = tables(recipe)
        spans = made["spans"].reshape(-1, 2)
        rebuilt, start = np.zeros((recipe.bands, recipe.fft // 2 + 1), np.float32), 0
        for band, (first, count) in enumerate(spans):
            rebuilt[band, first : first + count] = made["mel"][start : start + count]
            start += count
        assert np.array_equal(rebuilt, mel_weights(recipe).astype(np.float32))
        assert start == len(made["mel"])
        assert bins == np.flatnonzero(rebuilt.any(axis=0)).max() + 1 <= recipe.fft // 2
