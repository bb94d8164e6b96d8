"""Networks over images as TFLite: every operator out and back in, run by TFLM, LiteRT and the NumPy executor; the reference models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from image_networks import Builder, as_int8, inputs_for
from model_files import assert_same_network, run_litert, run_tflm
from reference_files import need_reference_model

from edgeff.errors import Unsupported
from edgeff.formats import from_tflite, load
from edgeff.formats.tflite.schema import names_of, schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops import forward, kind, parameters
from edgeff.ops.relu import Relu
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower

Maker = Callable[[Builder], object]

WINDOWS: dict[str, tuple[tuple[int, int, int], Maker]] = {
    "conv valid": ((6, 5, 3), lambda b: b.window("c", "conv2d", (3, 2), outputs=4)),
    "conv same": ((7, 6, 3), lambda b: b.window("c", "conv2d", (3, 3), (2, 2), (1, 0, 1, 1), outputs=5, activation="relu")),
    "conv by 1": ((4, 3, 7), lambda b: b.window("c", "conv2d", (1, 1), outputs=2, activation="relu6")),
    "conv past its input": ((5, 5, 1), lambda b: b.window("c", "conv2d", (1, 1), (4, 3), outputs=1, bias=False)),
    "conv padded": ((6, 6, 2), lambda b: b.window("c", "conv2d", (3, 3), (2, 2), (1, 1, 1, 1), outputs=3)),
    "conv padded far": ((3, 4, 2), lambda b: b.window("c", "conv2d", (2, 2), (2, 3), (4, 0, 3, 5), outputs=3, activation="relu")),
    "conv as large as its input": ((4, 6, 2), lambda b: b.window("c", "conv2d", (4, 6), outputs=3)),
    "conv in groups": ((5, 6, 6), lambda b: b.window("c", "conv2d", (3, 2), (1, 2), (1, 0, 1, 0), outputs=9, groups=3, activation="relu")),
    "conv of one pixel": ((1, 1, 1), lambda b: b.window("c", "conv2d", (1, 1), outputs=1)),
    "depthwise": ((6, 7, 4), lambda b: b.window("c", "depthwise_conv2d", (3, 3), (1, 1), (1, 1, 1, 1), activation="relu")),
    "depthwise multiplied": ((5, 5, 3), lambda b: b.window("c", "depthwise_conv2d", (3, 2), (2, 1), multiplier=3, activation="relu6")),
    "depthwise of one channel": ((9, 4, 1), lambda b: b.window("c", "depthwise_conv2d", (5, 4), (2, 2), (2, 1, 1, 1), multiplier=8)),
    "depthwise padded": ((5, 6, 2), lambda b: b.window("c", "depthwise_conv2d", (3, 3), (2, 2), (0, 2, 2, 0), bias=False)),
    "average": ((6, 6, 3), lambda b: b.window("p", "average_pool2d", (2, 3), (2, 3))),
    "average same": ((7, 5, 3), lambda b: b.window("p", "average_pool2d", (3, 3), (2, 2), (1, 1, 1, 1), activation="relu")),
    "average of all": ((25, 5, 4), lambda b: b.window("p", "average_pool2d", (25, 5), (25, 5))),
    "max": ((6, 7, 3), lambda b: b.window("p", "max_pool2d", (2, 2), (2, 2), activation="relu6")),
    "max same": ((7, 7, 2), lambda b: b.window("p", "max_pool2d", (3, 3), (2, 2), (1, 1, 1, 1))),
    "max padded": ((6, 6, 2), lambda b: b.window("p", "max_pool2d", (3, 3), (2, 2), (1, 1, 1, 1), activation="relu")),
    "mean": ((5, 6, 3), lambda b: b.add("m", "global_average_pool")),
    "relu": ((3, 4, 2), lambda b: b.add("r", "relu", activation="relu")),
    "relu6": ((3, 4, 2), lambda b: b.add("r", "relu", activation="relu6")),
    "transpose": ((3, 4, 2), lambda b: b.add("t", "transpose", perm="2,0,1")),
    "reshape": ((3, 4, 2), lambda b: b.add("s", "reshape", (), (6, 4))),
}


def chain(make: Maker, input_shape: tuple[int, ...]) -> Network:
    builder = Builder(input_shape)
    make(builder)
    return builder.network()


def residual(builder: Builder) -> None:
    """Skip connections with both orders of inputs, a sum with itself, and all that can stand between an image and its classes."""
    builder.window("stem", "conv2d", (3, 3), (1, 1), (1, 1, 1, 1), outputs=4, activation="relu")
    builder.window("a", "conv2d", (3, 3), (2, 2), (1, 1, 1, 1), outputs=6, activation="relu6")
    builder.window("short", "conv2d", (1, 1), (2, 2), outputs=6, inputs=["stem"])
    builder.add("sum", "add", ["short", "a"], activation="relu")
    builder.window("d", "depthwise_conv2d", (3, 3), (1, 1), (1, 1, 1, 1))
    builder.add("twice", "add", ["d", "sum"], activation="relu6")
    builder.add("itself", "add", ["twice", "twice"], activation="none")
    builder.add("alone", "relu", ["itself"], activation="relu6")
    builder.add("scaled", "requantise")
    builder.window("max", "max_pool2d", (2, 2), (1, 1), (0, 0, 1, 1))
    builder.add("turned", "transpose", perm="1,2,0")
    builder.dense("hidden", 9, "relu6")
    builder.add("image", "reshape", (), (3, 3, 1))
    builder.window("again", "conv2d", (2, 2), outputs=5)
    builder.add("mean", "global_average_pool")
    builder.dense("logits", 4)
    builder.add("probabilities", "softmax")


def sequence(builder: Builder) -> None:
    builder.conv1d("c1", 3, 4, 2, (1, 1), "relu")
    builder.conv1d("c2", 4, 5, 1, (3, 0), "relu6")
    builder.conv1d("c3", 1, 3, bias=False)
    builder.dense("logits", 3)


NETWORKS: dict[str, tuple[tuple[int, ...], Maker]] = WINDOWS | {"residual": ((7, 8, 3), residual), "sequence": ((11, 2), sequence)}


def executed(network: Network, x: Array) -> Array:
    """The outputs of the NumPy executor, one sample at a time."""
    interpreter = Interpreter(lower(network))
    rows = []
    for row in x:
        interpreter.predict(row)
        rows.append(interpreter.output().reshape(network.layers[-1].shape).copy())
    return np.array(rows)


@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
@pytest.mark.parametrize("name", NETWORKS)
def test_int8_layers_come_back_exactly_and_equal_tflm_to_the_bit(name: str, per_channel: bool) -> None:
    input_shape, make = NETWORKS[name]
    for seed in range(3):
        network = as_int8(chain(make, input_shape), seed, per_channel=per_channel)
        data = to_tflite(network)
        assert_same_network(network, from_tflite(data))
        assert to_tflite(from_tflite(data)) == data
        x = inputs_for(network, 6, seed)
        expected = run_tflm(data, x)
        assert expected.dtype == np.int8
        np.testing.assert_array_equal(executed(network, x), expected.reshape(len(x), *network.layers[-1].shape))
        assert run_litert(data, x).shape == expected.shape


@pytest.mark.parametrize("name", NETWORKS)
def test_float_layers_come_back_exactly_and_run(name: str) -> None:
    input_shape, make = NETWORKS[name]
    network = chain(make, input_shape)
    data = to_tflite(network)
    assert_same_network(*without_float_rescales(network, from_tflite(data)))
    x = inputs_for(network, 4)
    expected = forward(network, parameters(network, np.float64), x.astype(np.float64))[network.layers[-1].name]
    # Float32 against float64: a few hundred products of magnitude 1 in up to nine layers, and an exp.
    for run in (run_tflm, run_litert):
        np.testing.assert_allclose(run(data, x).reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def without_float_rescales(written: Network, read: Network) -> tuple[Network, Network]:
    """A requantise layer is nothing in float, and a file of floats does not hold it."""
    gone = {layer.name: layer.inputs[0] for layer in written if layer.kind == "requantise"}
    kept = [replace(layer, inputs=tuple(gone.get(name, name) for name in layer.inputs)) for layer in written if layer.name not in gone]
    return replace(written, layers=tuple(kept)), read


def test_padding_has_a_name_where_tflite_has_one() -> None:
    def operators(network: Network) -> list[tuple[str, int | None]]:
        model, names = schema.ModelT.InitFromPackedBuf(to_tflite(network), 0), names_of(schema.BuiltinOperator)
        return [
            (names[model.operatorCodes[operator.opcodeIndex].builtinCode], getattr(operator.builtinOptions, "padding", None))
            for operator in model.subgraphs[0].operators
        ]

    def window(name: str) -> Network:
        input_shape, make = WINDOWS[name]
        return chain(make, input_shape)

    same, valid = schema.Padding.SAME, schema.Padding.VALID
    assert operators(window("conv same")) == [("CONV_2D", same)]
    assert operators(window("conv valid")) == [("CONV_2D", valid)]
    assert operators(window("conv padded")) == [("PAD", None), ("CONV_2D", valid)]
    assert operators(window("max padded")) == [("PADV2", None), ("MAX_POOL_2D", valid)]
    row = [("RESHAPE", None), ("CONV_2D", same), ("RESHAPE", None)]
    assert operators(chain(lambda b: b.conv1d("c", 3, 4, 2, (1, 1)), (11, 2))) == row


def test_operator_versions_are_the_converters() -> None:
    def versions(network: Network) -> dict[str, int]:
        model, names = schema.ModelT.InitFromPackedBuf(to_tflite(network), 0), names_of(schema.BuiltinOperator)
        return {names[code.builtinCode]: code.version for code in model.operatorCodes}

    network = chain(residual, (7, 8, 3))
    assert versions(as_int8(network)) == {
        "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "RESHAPE": 1, "QUANTIZE": 1,
        "ADD": 2, "MAX_POOL_2D": 2, "MEAN": 2, "PAD": 2, "RELU6": 2, "SOFTMAX": 2, "TRANSPOSE": 2,
    }  # fmt: skip
    assert set(versions(network).values()) == {1}


def test_a_batch_normalisation_is_folded_before_it_is_written() -> None:
    builder = Builder((6, 6, 3))
    builder.window("c", "conv2d", (3, 3), outputs=4, bias=False)
    shape, values = (
        builder.shape("c"),
        {key: builder.rng.uniform(0.5, 2, 4).astype(np.float32) for key in ("weight", "bias", "mean", "variance")},
    )
    builder.add("b", "batch_norm", (), shape, values, eps=1e-3, momentum=0.99, activation="relu")
    builder.dense("d", 3)
    network = builder.network()
    data, x = to_tflite(network), inputs_for(network, 5)
    assert [(layer.kind, kind(layer).attributes["activation"]) for layer in from_tflite(data)] == [("conv2d", "relu"), ("dense", "none")]
    # The scale is in the weights: float32 rounds elsewhere.
    np.testing.assert_allclose(run_tflm(data, x), forward(network, parameters(network), x)["d"], rtol=1e-4, atol=1e-4)


def test_an_average_with_padding_of_its_own_is_refused() -> None:
    network = chain(lambda b: b.window("p", "average_pool2d", (3, 3), (2, 2), (1, 1, 1, 1)), (6, 6, 2))
    with pytest.raises(Unsupported, match=r"layer 'p', average_pool2d: got padding \(1, 1, 1, 1\)"):
        to_tflite(network)


def test_a_relu6_that_changes_the_scale_is_a_quantize_and_a_relu6() -> None:
    """TFLM's RELU6 takes its output's scale for its input's; LiteRT's does not."""
    layer = Layer("r", Relu(activation="relu6"), ("input",), (5,), quant={"output": Quant((0.03,), -128)})
    network = Network("n", (5,), (layer,), Quant((0.1,), 3))
    data, x = to_tflite(network), np.array([[-128, 3, 40, 63, 127]], np.int8)
    expected = np.array([[-128, -128, -5, 72, 72]], np.int8)
    for run in (run_tflm, run_litert, lambda _, x: executed(network, x)):
        np.testing.assert_array_equal(run(data, x), expected)
    assert_same_network(network, from_tflite(data))


REFERENCE = {
    "ad_fcae": (265_864, (640,), {"dense"}),
    "ic_resnet8": (77_706, (32, 32, 3), {"conv2d", "add", "average_pool2d", "dense", "softmax"}),
    "kws_dscnn": (22_604, (49, 10, 1), {"conv2d", "depthwise_conv2d", "average_pool2d", "dense", "softmax"}),
    "vww_mobilenet025": (210_850, (96, 96, 3), {"conv2d", "depthwise_conv2d", "average_pool2d", "dense", "softmax"}),
}


@pytest.mark.parametrize("numeric", ["f32", "int8"])
@pytest.mark.parametrize("name", REFERENCE)
def test_reference_models_come_through_without_a_bit_changed(name: str, numeric: str) -> None:
    path = need_reference_model(f"{name}_{numeric}.tflite")
    network, original = load(path), path.read_bytes()
    parameter_count, input_shape, kinds = REFERENCE[name]
    assert (network.parameters, network.input_shape, {layer.kind for layer in network}) == (parameter_count, input_shape, kinds)
    data = to_tflite(network)
    assert_same_network(network, from_tflite(data))
    x = inputs_for(network, 10)
    if (name, numeric) == ("kws_dscnn", "f32"):
        assert network.metadata["source"]["dequantised_weights"] == 5
        # LiteRT rounds the activations of a hybrid model to 8 bits; ours are float.
        np.testing.assert_allclose(run_litert(data, x), run_litert(original, x), atol=0.02)
        np.testing.assert_allclose(run_tflm(data, x), run_litert(data, x), atol=1e-6)
        return
    assert "dequantised_weights" not in network.metadata["source"]
    np.testing.assert_array_equal(run_tflm(data, x), run_tflm(original, x))
    for resolver in ("BUILTIN_REF", "BUILTIN"):
        np.testing.assert_array_equal(run_litert(data, x, resolver), run_litert(original, x, resolver))


@pytest.mark.parametrize("name", ["ic_resnet8", "kws_dscnn", "vww_mobilenet025"])
def test_int8_reference_models_execute_as_in_tflm(name: str) -> None:
    path = need_reference_model(f"{name}_int8.tflite")
    network = load(path)
    x = inputs_for(network, 4)
    np.testing.assert_array_equal(executed(network, x), run_tflm(path.read_bytes(), x))
