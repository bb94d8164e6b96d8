"""The audio front end: to the bit what TFLM's signal library makes of audio, from files of its operators and into them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from model_files import assert_same_network, run_tflm

from edgeff.cli.cost import layer_costs
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.packing import pack
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.ops import SAMPLES, make
from edgeff.ops.audio_frontend import AudioFrontend
from edgeff.ops.audio_frontend.tables import bank, gains, window
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

TABLES = {"window": 2193602023, "gains": 1178936084, "weights": 4031919928}
"""Of the arrays in TFLM's audio_preprocessor_int8.tflite, as little-endian int16 (crc32); the weights without what pads them."""
FEATURES = (2509745516, [125, 103, 125, 103, 125, 103, 125, 103, 126, 103], [63, 56, 83, 67, 78, 28, 81, 64, 85, 76])
"""What TFLM makes of ``SPOKEN`` by that file: the crc32 of all bytes, and the first of the first and the last frame."""
INDEX = np.arange(4 * 480, dtype=np.int64)
SPOKEN = ((INDEX * INDEX * 37 % 20011) - 10005 + (INDEX * 7919 % 4001)).astype(np.int16).reshape(4, 480)
RECIPES: tuple[dict[str, Any], ...] = (
    {},
    {"smoothing": 0.5, "odd_smoothing": 0.0, "remaining": 1.0},
    {"frame": 100, "fft": 128, "bands": 12},
    {"rate": 8000, "frame": 256, "fft": 512, "bands": 20, "high_hz": 3800.0},
    {"frame": 2048, "fft": 2048, "bands": 64},
)


def network(numeric: Numeric = "int8", **attrs: Any) -> Network:
    """The front end alone, for one frame."""
    op = AudioFrontend(**attrs)
    quant = op.fixed_quant(numeric)
    layer = Layer("features", op, ("input",), (1, op.bands), {}, {} if quant is None else {"output": quant})
    return Network("front end", (op.frame,), (layer,), SAMPLES if quant else None)


def audio(frame: int) -> Array:
    """Frames of noise from the quietest to the loudest, of a tone, and of the ends of the range."""
    rng = np.random.default_rng(1)
    noise = [np.clip(rng.normal(0, size, frame), -32768, 32767) for size in (0, 1, 30, 1000, 30_000, 200_000)]
    tone = [20_000 * np.sin(2 * np.pi * np.arange(frame) * turns / 97) for turns in (1, 5, 31)]
    ends = [np.full(frame, -32768), np.full(frame, 32767), rng.choice([-32768, 32767, 0, 5], frame), -32768 * (np.arange(frame) % 2)]
    return np.array([*noise, *tone, *ends, *noise]).astype(np.int16)


def by_twin(alone: Network, x: Array) -> Array:
    twin, rows = Interpreter(deploy(alone, target="input").program), []
    for sample in x:
        twin.predict(sample)
        rows.append(twin.output().reshape(-1).copy())
    return np.array(rows)


def test_its_tables_and_features_are_those_of_tflms_own_file() -> None:
    arrays = {"window": window(480), "gains": gains(512, 0.95, 80.0), "weights": bank(16_000, 512, 40, 125.0, 7500.0)[0]}
    assert {name: zlib.crc32(array.astype("<i2").tobytes()) for name, array in arrays.items()} == TABLES
    made = by_twin(network(), SPOKEN)
    assert (zlib.crc32(made.tobytes()), made[0, :10].tolist(), made[3, :10].tolist()) == FEATURES


@pytest.mark.parametrize("numeric", ["int8", "float32"])
@pytest.mark.parametrize("attrs", RECIPES, ids=str)
def test_twin_c_and_tflm_make_the_same_features(attrs: dict[str, Any], numeric: Numeric) -> None:
    alone = network(numeric, **attrs)
    x = audio(alone.input_shape[0])
    made = by_twin(alone, x)
    assert len(np.unique(made)) > 20
    assert made.tobytes() == HostTarget(deploy(alone, target="input").program).predict_many(x)[1].tobytes()
    assert made.tobytes() == run_tflm(to_tflite(alone), x).tobytes()


@pytest.mark.parametrize("numeric", ["int8", "float32"])
@pytest.mark.parametrize("attrs", [RECIPES[0], RECIPES[1], RECIPES[3]], ids=str)
def test_a_file_gives_it_back_without_edgeffs_description(attrs: dict[str, Any], numeric: Numeric) -> None:
    alone = network(numeric, **attrs)
    data = to_tflite(alone)
    assert_same_network(alone, from_tflite(data))
    foreign = from_tflite(changed(data, lambda model: setattr(model, "metadata", [])))
    (layer,) = foreign.layers
    assert by_twin(foreign, audio(alone.input_shape[0])).tobytes() == by_twin(alone, audio(alone.input_shape[0])).tobytes()
    assert isinstance(layer.op, AudioFrontend)


def test_a_network_of_several_frames_hears_what_single_frames_do() -> None:
    op = AudioFrontend(hop=160)
    clip = SPOKEN.reshape(-1)[:1120]
    whole = Network("five", (1120,), (Layer("features", op, ("input",), (5, 40)),))
    singly = by_twin(network("float32"), np.array([clip[160 * f :][:480] for f in range(5)]))
    assert by_twin(whole, clip[None]).reshape(5, 40).tolist() == singly.tolist()
    with pytest.raises(Unsupported, match=r"^layer 'features', audio_frontend: got an input of \(1120,\); allowed: one frame"):
        to_tflite(whole)
    with pytest.raises(Unsupported, match=r"^layer 'features', audio_frontend in int8: got gain 0.5; allowed: 0.0390625 in TFLite files"):
        to_tflite(network("int8", gain=0.5))
    with pytest.raises(Unsupported, match=r"it reads raw audio: export to C"):
        to_onnx(whole)


def test_costs_tell_its_features_and_not_the_memory_it_works_in() -> None:
    (entry,) = layer_costs(deploy(network(), target="input").program)
    assert (entry["shape"], entry["activation_bytes"]) == ([1, 40], 40)


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    """A file with its schema's object changed."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    buffers = [b"" if buffer.data is None else bytes(buffer.data) for buffer in model.buffers]
    model.buffers = buffers
    change(model)
    return pack(model, model.buffers)


def at(model: Any, custom: str) -> Any:
    """The operator of that custom name."""
    numbers = [number for number, code in enumerate(model.operatorCodes) if code.customCode == custom.encode()]
    return next(operator for operator in model.subgraphs[0].operators if operator.opcodeIndex in numbers)


def other_options(custom: str, options: bytes) -> Callable[[Any], None]:
    return lambda model: setattr(at(model, custom), "customOptions", np.frombuffer(options, np.uint8))


def other_table(custom: str, place: int) -> Callable[[Any], None]:
    """Adds one to the first number of a constant."""

    def change(model: Any) -> None:
        number = model.subgraphs[0].tensors[at(model, custom).inputs[place]].buffer
        array = np.frombuffer(model.buffers[number], "<i2").copy()
        array[0] += 1
        model.buffers[number] = array.tobytes()

    return change


def swapped(model: Any) -> None:
    operators = model.subgraphs[0].operators
    operators[4], operators[5] = operators[5], operators[4]


def from_elsewhere(model: Any) -> None:
    at(model, "SignalFilterBankLog").inputs = np.array(at(model, "SignalPCAN").inputs[:1], np.int32)


def heard_twice(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.outputs = np.array([*graph.outputs, at(model, "SignalFilterBankLog").outputs[0]], np.int32)


ANOTHER = "^audio front end of the TFLite file: got "
CHANGES: tuple[tuple[Callable[[Any], None], str], ...] = (
    (other_table("SignalWindow", 1), ANOTHER + "window: other numbers; allowed: those of a recipe; take the features as the input"),
    (other_table("SignalPCAN", 2), ANOTHER + "gains: other numbers"),
    (other_table("SignalFilterBank", 1), ANOTHER + "channels of another rate or other frequencies; allowed: those of 16000 Hz"),
    (other_table("SignalFilterBank", 3), ANOTHER + "a bin of two channels"),
    (swapped, ANOTHER + "'?CAST'? in the chain; allowed: CUSTOM SignalWindow, RESHAPE"),
    (from_elsewhere, ANOTHER + "CUSTOM SignalFilterBankLog with an input from elsewhere"),
    (heard_twice, ANOTHER + "a tensor inside it that is read elsewhere"),
    (other_options("SignalPCAN", b""), "^damaged TFLite file, options of '?CUSTOM SignalPCAN'?: got no map of integers"),
    (other_options("SignalPCAN", b"\xff" * 40), "^damaged TFLite file, options of "),
    (other_options("SignalWindow", bytes(range(64))), "^damaged TFLite file, options of "),
)


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_front_end_of_another_kind_is_refused(change: Callable[[Any], None], message: str) -> None:
    with pytest.raises(EdgeffError, match=message):
        from_tflite(changed(to_tflite(network()), change))


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"fft": 256}, "^audio_frontend, fft: got 256; allowed: 128, 512, 2048"),
        ({"frame": 513}, "^audio_frontend, frame: got 513; allowed: 1 to fft samples"),
        ({"high_hz": 8000.0}, "^audio_frontend, high_hz: got 8000.0; allowed: at most 0.49 rate"),
        ({"smoothing": 1.5}, "^audio_frontend, smoothing: got 1.5; allowed: 0 to 1"),
        ({"bands": 100}, "^bands of an audio_frontend layer: got 100, of which some have no bin; take fewer bands"),
    ],
)
def test_a_recipe_that_is_not_possible_is_refused(attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make("audio_frontend", attrs)
