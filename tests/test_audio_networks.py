"""Networks that start from audio: in every execution to the bit, under every rule, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeff.device.boards import load_board
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import NUMERICS, Array, Layer, Network, Numeric, Quant
from edgeff.networks import initialised, structure
from edgeff.ops import SAMPLES, forward, make, raw_input, split_input
from edgeff.ops.add import Add
from edgeff.ops.dense import Dense
from edgeff.ops.mfcc import Mfcc, coefficients, with_features
from edgeff.ops.relu import Relu
from edgeff.ops.reshape import Reshape
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.program.quantize import quantize
from edgeff.verify.executions import Emulated

SMALL = {"rate": 8000, "frame": 120, "hop": 100, "fft": 128, "bands": 12, "coefficients": 5, "high_hz": 4000.0}
SMALL_SAMPLES = 620


def small_network(seed: int = 0) -> Network:
    """A dense network of 6 frames x 5 coefficients behind the small recipe, with seeded weights."""
    return initialised(structure("30-9-4", bias=True), seed)


def small_audio(count: int) -> Array:
    """Seeded clips, the extremes of 16 bits among them, (count, 620) int16."""
    rng = np.random.default_rng(3)
    x = rng.integers(-32768, 32768, (count, SMALL_SAMPLES)) * rng.choice([1.0, 0.01, 1e-4], (count, 1))
    x[0], x[1], x[2] = 0, -32768, rng.choice([-32768, 32767], SMALL_SAMPLES)
    return x.astype(np.int16)


@pytest.mark.slow
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
    assert made["mfcc"].tobytes() == coefficients(x, make(Mfcc, SMALL)).tobytes()
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
    exact = coefficients(x, make(Mfcc, SMALL)).reshape(12, 30) / np.float32(0.05)
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
    assert [(layer.kind, layer.shape) for layer in network][:2] == [("mfcc", (30,)), ("dense", (9,))]
    again = Network("taken", (6, 5, 1), (Layer("mfcc", Reshape(), ("input",), (30,)),))
    assert [layer.name for layer in with_features(again, SMALL, SMALL_SAMPLES)] == ["mfcc_2", "mfcc"]


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_a_network_is_the_same_after_its_features_are_taken_off(numeric: Numeric) -> None:
    x = np.random.default_rng(0).random((9, 30), np.float32)
    network = small_network() if numeric == "float32" else quantize(small_network(), x)
    first, again = split_input(with_features(network, SMALL, SMALL_SAMPLES))
    assert first is not None
    assert first.kind == "mfcc"
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
    first = Layer("relu", Relu(activation="relu"), ("input",), (SMALL_SAMPLES,))
    second = Layer("mfcc", make("mfcc", dict(SMALL)), ("relu",), (6, 5, 1))
    with pytest.raises(Unsupported, match=r"^layer 'mfcc': got an mfcc of float32; allowed: int16 audio: the network's input$"):
        deploy(Network("late", (SMALL_SAMPLES,), (first, second)), target="input")
    both = (
        replace(second, inputs=("input",)),
        Layer("flat", Reshape(), ("mfcc",), (30,)),
        first,
        Layer("dense", Dense(), ("relu",), (30,), {"weight": np.zeros((30, SMALL_SAMPLES), np.float32)}),
        Layer("sum", Add(), ("flat", "dense"), (30,)),
    )
    with pytest.raises(Unsupported, match=r"^the input of network 'both': got readers 'mfcc', 'relu'; allowed: 'mfcc' alone$"):
        deploy(Network("both", (SMALL_SAMPLES,), both), target="input")


def test_formats_without_such_a_layer_say_so() -> None:
    from edgeff.formats.onnx.writer import to_onnx
    from edgeff.formats.tflite.writer import to_tflite

    network = with_features(small_network(), SMALL, SMALL_SAMPLES)
    for export in (to_onnx, to_tflite):
        with pytest.raises(EdgeffError, match="mfcc") as caught:
            export(network)
        assert "\n" not in str(caught.value)
