"""TFLite out and back in: LiteRT, TFLM, exact round trips, files that others make, and the reference models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_files import METADATA, assert_same_network, dense, dense_int8, float_network, forward, quantise, quantised, run_litert, run_tflm
from reference_files import need_reference_model
from test_onnx import HOSTILE_NAMES
from tflite_files import File

from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_onnx, from_tflite, load
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite, write_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops import kind
from edgeff.ops.softmax import Softmax

RNG = np.random.default_rng(11)
X = RNG.normal(size=(100, 64)).astype(np.float32)

RUNNERS: dict[str, Callable[[bytes, Array], Array]] = {
    "TFLM": run_tflm,
    "BUILTIN_REF": run_litert,
    "BUILTIN": lambda data, x: run_litert(data, x, "BUILTIN"),
    "without delegates": lambda data, x: run_litert(data, x, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"),
}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"softmax": False}, {"normalise": True}, {"sizes": (64, 1)}])
def test_a_float_network_runs(runner: str, options: dict[str, Any]) -> None:
    network = float_network(**options)
    expected = forward(network, X)[network.layers[-1].name]
    # Float32 against float64: 64 products of magnitude 1 and an exp.
    np.testing.assert_allclose(RUNNERS[runner](to_tflite(network), X), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("per_channel", [False, True])
def test_an_int8_network_in_tflm_is_ours_to_the_bit(per_channel: bool, bias: bool) -> None:
    network = quantised(float_network(softmax=False, bias=bias), X, per_channel=per_channel)
    assert network.input_quant is not None
    x = np.vstack([quantise(X, network.input_quant), np.full((1, 64), -128, np.int8), np.full((1, 64), 127, np.int8)])
    expected, quant = x, network.input_quant
    for layer in network:
        expected, quant = dense_int8(layer, expected, quant), layer.quant["output"]
    actual = run_tflm(to_tflite(network), x)
    assert actual.dtype == np.int8
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("runner", [name for name in RUNNERS if name != "TFLM"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_an_int8_network_runs_in_litert(per_channel: bool, runner: str) -> None:
    """Against TFLM: LiteRT rounds once where TFLM rounds twice, so two layers and a softmax may differ by a few steps."""
    network = quantised(float_network(), X, per_channel=per_channel)
    assert network.input_quant is not None
    x = quantise(X, network.input_quant)
    data = to_tflite(network)
    actual, expected = RUNNERS[runner](data, x).astype(int), run_tflm(data, x).astype(int)
    assert np.abs(actual - expected).max() <= 4
    assert np.mean(actual.argmax(axis=1) == expected.argmax(axis=1)) > 0.97


@pytest.mark.parametrize("runner", ["TFLM", "BUILTIN_REF"])
def test_int8_softmax_is_the_softmax(runner: str) -> None:
    network = Network(
        "s", (10,), (Layer("s", Softmax(), ("input",), (10,), quant={"output": Quant((1 / 256,), -128)}),), Quant((0.0625,), 4)
    )
    x = RNG.integers(-128, 128, (50, 10)).astype(np.int8)
    real = (x.astype(float) - 4) * 0.0625
    expected = np.exp(real) / np.exp(real).sum(axis=1, keepdims=True) * 256 - 128
    # Fixed-point exp: within one step of the real value, rounding included.
    assert np.abs(RUNNERS[runner](to_tflite(network), x) - np.minimum(expected, 127)).max() <= 1


@pytest.mark.parametrize(
    "network",
    [
        float_network(),
        float_network(bias=False, normalise=True),
        quantised(float_network(), X, per_channel=False),
        quantised(float_network(bias=False), X, per_channel=True),
        quantised(float_network((64, 1), softmax=False), X, per_channel=True),
        replace(float_network(), name="", metadata={}),
    ],
    ids=["float", "normalise", "int8", "per channel", "one channel", "nameless"],
)
def test_our_own_files_come_back_exactly(network: Network, tmp_path: Path) -> None:
    path = write_tflite(network, tmp_path / "a_wrong_suffix.onnx")
    assert_same_network(network, load(path))
    assert path.read_bytes() == to_tflite(load(path))
    assert_same_network(network, from_onnx(to_onnx(load(path)).SerializeToString()))


def test_hostile_names_come_back_and_run() -> None:
    layers = [dense("dense_1", "input", np.eye(4, dtype=np.float32), np.ones(4, np.float32), "relu")]
    for name in HOSTILE_NAMES:
        layers.append(dense(name, layers[-1].name, np.eye(4, dtype=np.float32), np.ones(4, np.float32), "relu"))
    network = Network("'; DROP TABLE models; --", (4,), tuple(layers), metadata=METADATA)
    data = to_tflite(network)
    assert_same_network(network, from_tflite(data))
    np.testing.assert_array_equal(run_tflm(data, np.zeros((1, 4), np.float32)), np.full((1, 4), 1.0 + len(HOSTILE_NAMES)))


def test_buffers_are_aligned_and_versions_are_the_converters() -> None:
    data = to_tflite(quantised(float_network((7, 5, 3)), X[:, :7], per_channel=True))
    model = schema.Model.GetRootAsModel(data, 0)
    assert schema.Model.ModelBufferHasIdentifier(data, 0)
    places = [
        buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in map(model.Buffers, range(model.BuffersLength())) if buffer.DataLength()
    ]
    assert len(places) == 5
    assert all(place % 16 == 0 for place in places)
    codes = [model.OperatorCodes(number) for number in range(model.OperatorCodesLength())]
    assert [(code.BuiltinCode(), code.DeprecatedBuiltinCode(), code.Version()) for code in codes] == [(9, 9, 4), (25, 25, 2)]
    graph = model.Subgraphs(0)
    assert [graph.Tensors(0).ShapeSignature(k) for k in range(2)] == [-1, 7]
    assert graph.Tensors(0).Name() == b"input"


@pytest.mark.parametrize("version", [1, 4, 12, 14])
def test_litert_takes_per_channel_weights_at_any_version_it_knows(version: int) -> None:
    network = quantised(float_network((64, 10), softmax=False), X, per_channel=True)
    assert network.input_quant is not None
    x = quantise(X[:5], network.input_quant)
    model = schema.ModelT.InitFromPackedBuf(to_tflite(network), 0)
    model.operatorCodes[0].version = version
    flatbuffers = pytest.importorskip("flatbuffers")
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    data = bytes(builder.Output())
    np.testing.assert_array_equal(run_tflm(data, x), run_tflm(to_tflite(network), x))
    np.testing.assert_array_equal(run_litert(data, x), run_litert(to_tflite(network), x))


def test_int8_normalise_is_refused() -> None:
    with pytest.raises(Unsupported, match="normalise"):
        to_tflite(quantised(float_network(normalise=True), X, per_channel=False))


def foreign_dense(**options: Any) -> tuple[bytes, Array, Array | None]:
    """A float dense layer of 4 inputs and 3 outputs; options: bias, fused, rank (of the input), relu (a separate operator), two_inputs."""
    file, weight = File(), RNG.normal(size=(3, 4)).astype(np.float32)
    bias = RNG.normal(size=3).astype(np.float32) if options.get("bias", True) else None
    x = file.tensor("x", options.get("shape", (1, 4)))
    source = x
    if "reshape" in options:
        source = file.tensor("flat", (1, 4))
        file.operator("RESHAPE", [x, file.tensor("to", (2,), "int32", data=np.array([-1, 4]))], [source], "ReshapeOptions")
    w = file.tensor("w", weight.shape, data=weight)
    inputs = [source, w] if options.get("two_inputs") else [source, w, -1 if bias is None else file.tensor("b", (3,), data=bias)]
    y = file.tensor("scope/y;scope/bias", (1, 3))
    file.dense(inputs, y, options.get("fused", "NONE"))
    if options.get("relu"):
        z = file.tensor("z", (1, 3))
        file.operator("RELU", [y], [z])
        y = z
    if options.get("softmax"):
        z = file.tensor("probabilities", (1, 3))
        file.operator("SOFTMAX", [y], [z], "SoftmaxOptions", beta=1.0)
        y = z
    return file.pack([x], [y]), weight, bias


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"bias": False, "two_inputs": True},
        {"fused": "RELU", "softmax": True},
        {"fused": "RELU6"},
        {"relu": True},
        {"shape": (1, 2, 2), "reshape": True},
        {"shape": (1, 1, 4)},
    ],
    ids=str,
)
def test_dense_models_made_elsewhere(options: dict[str, Any]) -> None:
    data, weight, bias = foreign_dense(**options)
    network = from_tflite(data)
    layer = network.layers[0]
    assert layer.name == "scope/y;scope/bias"
    np.testing.assert_array_equal(layer.params["weight"], weight)
    assert ("bias" in layer.params) == (bias is not None)
    assert kind(layer).attributes["activation"] == ("relu" if "relu" in options else options.get("fused", "NONE").lower())
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    expected = np.array([run_litert(data, row.reshape((1, *options.get("shape", (1, 4))[1:])))[0] for row in x])
    np.testing.assert_allclose(forward(network, x)[network.layers[-1].name], expected, rtol=1e-5, atol=1e-6)
    assert network.metadata["source"] == {"format": "tflite", "producer": "elsewhere"}
    assert_same_network(network, from_tflite(to_tflite(network)))


def foreign_int8(
    *, float_ends: bool, per_channel: bool = False, separate_relu: bool = False, fused: str = "NONE"
) -> tuple[bytes, dict[str, Array]]:
    file = File()
    weight, bias = RNG.integers(-127, 128, (3, 4)).astype(np.int8), RNG.integers(-999, 999, 3).astype(np.int32)
    scales = [0.5, 0.25, 0.125] if per_channel else [0.5]
    start = source = file.tensor("x", (1, 4), "int8", scale=[0.0625], zero=5)
    if float_ends:
        start = file.tensor("xf", (1, 4))
        file.operator("QUANTIZE", [start], [source])
    w = file.tensor("w", (3, 4), "int8", data=weight, scale=scales)
    b = file.tensor("b", (3,), "int32", data=bias, scale=[s * 0.0625 for s in scales])
    y = file.tensor("y", (1, 3), "int8", scale=[0.75], zero=-3)
    file.dense([source, w, b], y, fused)
    if separate_relu:
        z = file.tensor("z", (1, 3), "int8", scale=[0.75], zero=-3)
        file.operator("RELU", [y], [z])
        y = z
    if float_ends:
        z = file.tensor("yf", (1, 3))
        file.operator("DEQUANTIZE", [y], [z])
        y = z
    return file.pack([start], [y]), {"weight": weight, "bias": bias}


@pytest.mark.parametrize("float_ends", [True, False])
@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"separate_relu": True}, {"fused": "RELU"}, {"fused": "RELU6"}], ids=str)
def test_int8_models_made_elsewhere(options: dict[str, Any], float_ends: bool) -> None:
    data, params = foreign_int8(float_ends=float_ends, **options)
    network = from_tflite(data)
    (layer,) = network.layers
    assert network.input_quant == Quant((0.0625,), 5)
    assert layer.quant["output"] == Quant((0.75,), -3)
    assert layer.quant["weight"].axis == (0 if "per_channel" in options else None)
    for key, value in params.items():
        np.testing.assert_array_equal(layer.params[key], value)
    x = RNG.integers(-128, 128, (50, 4)).astype(np.int8)
    expected = dense_int8(layer, x, network.input_quant)
    if float_ends:
        real = run_tflm(data, ((x.astype(np.float32)) - 5) * np.float32(0.0625))
        np.testing.assert_array_equal(real, (expected.astype(np.float32) + 3) * np.float32(0.75))
    else:
        np.testing.assert_array_equal(run_tflm(data, x), expected)
    np.testing.assert_array_equal(run_tflm(to_tflite(network), x), expected)


def test_a_uint8_input_is_shifted() -> None:
    file = File()
    x = file.tensor("x", (1, 4), "uint8", scale=[0.5], zero=130)
    q = file.tensor("q", (1, 4), "int8", scale=[0.5], zero=2)
    file.operator("QUANTIZE", [x], [q])
    w = file.tensor("w", (3, 4), "int8", data=np.ones((3, 4)), scale=[0.5])
    y = file.tensor("y", (1, 3), "int8", scale=[0.5])
    file.dense([q, w, -1], y)
    assert from_tflite(file.pack([x], [y])).input_quant == Quant((0.5,), 2)


def refused() -> dict[str, tuple[type[EdgeffError], str, bytes]]:
    """What a file may hold that edgeff has no exact word for."""
    cases: dict[str, tuple[type[EdgeffError], str, bytes]] = {
        "fused tanh": (Unsupported, "TANH", foreign_dense(fused="TANH")[0]),
        "fused relu -1 to 1": (
            Unsupported,
            "operator 'FULLY_CONNECTED': got fused activation RELU_N1_TO_1",
            foreign_int8(float_ends=False, fused="RELU_N1_TO_1")[0],
        ),
    }

    def one(
        kind: type[EdgeffError],
        part: str,
        name: str,
        make: Callable[[File, int], int],
        *,
        shape: tuple[int, ...] = (1, 4),
        dtype: str = "float32",
    ) -> None:
        file = File()
        x = file.tensor("x", shape, dtype)
        cases[name] = (kind, part, file.pack([x], [make(file, x)]))

    def dense_with(weight: dict[str, Any], bias: dict[str, Any] | None = None, **options: Any) -> Callable[[File, int], int]:
        def make(file: File, x: int) -> int:
            y = file.tensor("y", (1, 3))
            file.dense([x, file.tensor("w", **weight), -1 if bias is None else file.tensor("b", **bias)], y, **options)
            return y

        return make

    def lstm(file: File, x: int) -> int:
        y = file.tensor("y", (1, 3))
        file.operator("LSTM", [x], [y], "LSTMOptions")
        return y

    def cycle(file: File, _: int) -> int:
        y, z = file.tensor("y", (1, 3)), file.tensor("z", (1, 3))
        file.operator("RELU", [z], [y])
        file.operator("RELU", [y], [z])
        return z

    good = np.ones((3, 4))
    broken = good.copy()
    broken[0, 0], broken[1, 1] = np.nan, np.inf
    one(Unsupported, "node 'y', operator 'LSTM'", "unknown operator", lstm)
    one(BadInput, "no earlier operator computes", "cycle", cycle)
    one(BadInput, "'w': got 2 NaN or infinite of 12", "NaN", dense_with({"shape": (3, 4), "data": broken}))
    one(BadInput, "48 bytes of data", "short data", dense_with({"shape": (3, 5), "data": good}))
    one(BadInput, "shape (1, 3)", "wrong output", dense_with({"shape": (4, 4), "data": np.ones((4, 4))}))
    one(BadInput, "4 input elements", "wrong input", dense_with({"shape": (3, 4), "data": good}), shape=(1, 5))
    one(Unsupported, "float16", "float16", dense_with({"shape": (3, 4), "data": good, "dtype": "float16"}))
    one(Unsupported, "a weight of int8", "no scales", dense_with({"shape": (3, 4), "data": good, "dtype": "int8"}))
    one(Unsupported, "shuffled", "shuffled", dense_with({"shape": (3, 4), "data": good}, weightsFormat=1))
    one(BadInput, "bias of shape (2,)", "short bias", dense_with({"shape": (3, 4), "data": good}, {"shape": (2,), "data": np.ones(2)}))
    one(Unsupported, "(5,)", "no batch axis", dense_with({"shape": (3, 4), "data": good}), shape=(5,))
    reshaped = File()
    x, y = (reshaped.tensor(name, (1, 4), "int8", scale=[scale]) for name, scale in (("x", 0.5), ("y", 0.25)))
    reshaped.operator("RESHAPE", [x], [y])
    cases["another scale"] = (Unsupported, "change of scale", reshaped.pack([x], [y]))
    data, _, _ = foreign_dense()
    cases["wrong version"] = (
        Unsupported,
        "schema version",
        data.replace((3).to_bytes(4, "little"), (2).to_bytes(4, "little")),
    )
    return cases


CASES = refused()


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused_is_refused_by_name(case: str) -> None:
    kind, part, data = CASES[case]
    with pytest.raises(kind) as caught:
        from_tflite(data)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    if case == "unknown operator":
        assert {"FULLY_CONNECTED", "CONV_2D", "ADD"} <= set(caught.value.allowed.split(", "))


@pytest.mark.parametrize("numeric", ["f32", "int8"])
def test_the_reference_autoencoder(numeric: str) -> None:
    path = need_reference_model(f"ad_fcae_{numeric}.tflite")
    network = load(path)
    assert [layer.shape[0] for layer in network] == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert network.parameters == 265_864
    data = to_tflite(network)
    if numeric == "f32":
        x = RNG.normal(size=(10, 640)).astype(np.float32) * 10
        np.testing.assert_array_equal(run_litert(data, x), run_litert(path.read_bytes(), x))
    else:
        x = RNG.integers(-128, 128, (50, 640)).astype(np.int8)
        np.testing.assert_array_equal(run_litert(data, x), run_litert(path.read_bytes(), x))
    np.testing.assert_array_equal(run_tflm(data, x), run_tflm(path.read_bytes(), x))
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_tensorflows_converter_agrees(numeric: str) -> None:
    """The same weights through TensorFlow's converter: the same operators, weights and outputs."""
    tf = pytest.importorskip("tensorflow")
    network = float_network()
    model = tf.keras.Sequential(
        [tf.keras.Input((64,)), tf.keras.layers.Dense(32, activation="relu"), tf.keras.layers.Dense(10), tf.keras.layers.Softmax()]
    )
    model.set_weights([value for layer in network.trainable for value in (layer.params["weight"].T, layer.params["bias"])])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if numeric == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in X)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    theirs = bytes(converter.convert())
    imported = from_tflite(theirs)
    ours = to_tflite(imported)
    assert [(layer.kind, layer.shape, kind(layer).attributes) for layer in imported] == [
        (layer.kind, layer.shape, kind(layer).attributes) for layer in network
    ]
    x: Array = X
    if numeric == "float32":
        for mine, read in zip(network.trainable, imported.trainable, strict=True):
            np.testing.assert_array_equal(read.params["weight"], mine.params["weight"])
            np.testing.assert_array_equal(read.params["bias"], mine.params["bias"])
        np.testing.assert_array_equal(run_litert(to_tflite(network), x), run_litert(theirs, x))
    else:
        assert imported.input_quant is not None
        x = quantise(X, imported.input_quant)
        np.testing.assert_array_equal(run_tflm(ours, x), run_tflm(theirs, x))
    np.testing.assert_array_equal(run_litert(ours, x), run_litert(theirs, x))
    versions = [{(c.builtinCode, c.version) for c in schema.ModelT.InitFromPackedBuf(data, 0).operatorCodes} for data in (ours, theirs)]
    assert versions[0] == versions[1]
