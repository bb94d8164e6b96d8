"""Images and sequences in ONNX: layouts, ONNX Runtime against our own numbers, exact round trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from image_networks import as_int8, inputs_for
from model_files import assert_same_network, run_onnx, run_tflm
from random_networks import one_layer, random_network
from reference_files import need_reference_model

from edgeff.formats import from_onnx, load
from edgeff.formats.onnx.writer import SESSION_ENTRIES, to_onnx, write_onnx
from edgeff.ir import Array, Attr, Layer, Network, Quant
from edgeff.networks import initialised, structure
from edgeff.ops import forward, kind, make, parameters
from edgeff.ops.add import Add
from edgeff.ops.canonical import canonical
from edgeff.ops.global_average_pool import GlobalAveragePool
from edgeff.ops.relu import Relu
from edgeff.program.deploy import deploy
from edgeff.program.quantize import dequantise_array, quantise_array, quantize
from edgeff.verify.executions import twin_results


def host(network: Network, x: Array) -> Array:
    """The network's outputs by the host's float mathematics."""
    return forward(network, parameters(network), x)[network.layers[-1].name]


def integers(network: Network, outputs: Array) -> Array:
    """The steps of int8 that ONNX Runtime's float outputs are."""
    quant = network.layers[-1].quant["output"]
    return np.rint(outputs.astype(np.float64) / quant.scale[0]).astype(int) + quant.zero_point


def ours(network: Network, x: Array) -> dict[str, Array]:
    """Every layer's int8 output for x (n, *input shape) int8, by the NumPy twins."""
    made = {"input": x.reshape(len(x), -1)} | dict(
        twin_results(deploy(network, numeric="int8").program, x.reshape(len(x), -1), lambda: None).layers
    )
    for layer in network:
        if layer.inputs and layer.name not in made:  # a reshape is no call: its output is its input
            made[layer.name] = made[layer.inputs[0]]
    return made


@pytest.mark.parametrize("seed", range(60))
def test_a_random_float_network_runs_in_onnx_runtime_and_comes_back_exactly(seed: int) -> None:
    network = random_network(seed, trained=seed, note="é")
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    x = inputs_for(network, 5)
    expected, actual = host(network, x), run_onnx(model, x)
    assert actual.shape == expected.shape
    # Float32 sums in another order, through seven layers that may each enlarge a difference.
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(expected).max())))
    assert_same_network(network, from_onnx(model.SerializeToString()))


@pytest.mark.parametrize("seed", range(60))
def test_a_random_int8_network_runs_in_onnx_runtime_and_comes_back_exactly(seed: int, tmp_path: Path) -> None:
    network = as_int8(random_network(seed), seed, per_channel=bool(seed % 2))
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    run_onnx(model, inputs_for(random_network(seed), 2))
    assert_same_network(network, from_onnx(model.SerializeToString()))
    path = write_onnx(network, tmp_path / "m.onnx")
    assert path.read_bytes() == write_onnx(load(path), tmp_path / "again.onnx").read_bytes()


DIFFERING = {
    "conv2d": 0.007,
    "depthwise_conv2d": 0.016,
    "conv1d": 0.011,
    "dense": 0.009,
    "average_pool2d": 0.08,
    "max_pool2d": 0.0,
    "global_average_pool": 0.38,
    "add": 0.0001,
    "relu": 0.0,
    "requantise": 0.0,
    "reshape": 0.0,
    "transpose": 0.0,
    "softmax": 0.001,
    "normalise": 0.002,
    "standardise": 0.003,
}
"""The largest share of outputs that may differ, by one step: three times what is counted here (``edgeff.formats.onnx.writer``)."""


@pytest.mark.parametrize("op", DIFFERING)
def test_a_layer_differs_from_our_integers_by_one_step_at_most(op: str) -> None:
    """ONNX Runtime rescales in float and rounds ties to even; TFLite rounds them away from zero, and its mean rounds its factor down."""
    counts: Counter[int] = Counter()
    for seed in range(9):
        floats = one_layer(op, seed)
        x = 2 * np.random.default_rng(seed).normal(size=(30, *floats.input_shape)).astype(np.float32)
        network = quantize(floats, x, per_channel=bool(seed % 2))
        assert network.input_quant is not None
        expected = ours(network, quantise_array(x, network.input_quant))[network.layers[-1].name]
        actual = integers(network, run_onnx(to_onnx(network), x)).reshape(expected.shape)
        counts.update(np.abs(actual - expected).reshape(-1).tolist())
    assert max(counts) <= 1
    assert counts[1] <= DIFFERING[op] * counts.total()


def steps(network: Network, x: Array) -> dict[str, Array]:
    """For each layer the differences of ONNX Runtime to our outputs, when it reads our inputs of the layer, for x int8."""
    onnxruntime = pytest.importorskip("onnxruntime")
    known = ours(network, x)
    shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
    model = onnx.shape_inference.infer_shapes(to_onnx(network), strict_mode=True)
    extractor, options = onnx.utils.Extractor(model), onnxruntime.SessionOptions()
    for key, value in SESSION_ENTRIES.items():
        options.add_session_config_entry(key, value)
    made = {name for node in model.graph.node for name in node.output}

    def tensor(name: str) -> tuple[str, Array]:
        """The first integer tensor with the layer's output, and our output as it holds it."""
        values = known[name].reshape(len(x), *shapes[name])
        if (plain := f"{name}.quantized") in made:
            return plain, values
        return f"{plain}.channels_first", np.moveaxis(values, -1, 1)

    found = {}
    for layer in network:
        feeds = dict(map(tensor, layer.inputs))
        target, expected = tensor(layer.name)
        part = extractor.extract_model(list(feeds), [target])
        session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found[layer.name] = np.abs(session.run(None, feeds)[0].astype(int) - expected)
    return found


@pytest.mark.parametrize("name", ["kws_dscnn", "ic_resnet8", "vww_mobilenet025", "ad_fcae"])
def test_each_layer_of_a_reference_network_is_within_one_step_of_ours(name: str) -> None:
    network = load(need_reference_model(f"{name}_int8.tflite"))
    x = inputs_for(network, 6)
    for layer, difference in steps(network, x).items():
        assert difference.max() <= 1, layer


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), [("kws_dscnn", "mlperf_kws01_mfcc_int8.npz"), ("ic_resnet8", "mlperf_ic01.npz")])
def test_onnx_runtime_picks_the_class_of_the_integers_in_98_of_100_samples(
    name: str, data: str, reference_data: Callable[[str], Path]
) -> None:
    """Differences of one step a layer add up; TFLM has the integers' classes (``test_tflite_convolutions``)."""
    path = need_reference_model(f"{name}_int8.tflite")
    network = load(path)
    assert network.input_quant is not None
    given = np.load(reference_data(data))["x"]
    x = (given if given.dtype == np.int8 else given.astype(np.int16) - 128).astype(np.int8).reshape(-1, *network.input_shape)[:200]
    expected = run_tflm(path.read_bytes(), x).argmax(axis=1)
    actual = run_onnx(to_onnx(network), dequantise_array(x, network.input_quant)).argmax(axis=1)
    assert np.mean(actual == expected) >= 0.98


@pytest.mark.parametrize("name", ["kws_dscnn", "ic_resnet8", "vww_mobilenet025", "ad_fcae"])
@pytest.mark.parametrize("numeric", ["int8", "f32"])
def test_a_reference_network_goes_through_onnx_without_a_bit_changed(name: str, numeric: str) -> None:
    network = load(need_reference_model(f"{name}_{numeric}.tflite"))
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    assert_same_network(network, from_onnx(model.SerializeToString()))


@pytest.mark.parametrize("name", ["ds_cnn", "resnet8", "mobilenet_v1_025", "fc_ae"])
def test_a_structure_with_batch_normalisation_is_written_folded(name: str) -> None:
    network, rng = initialised(structure(name), 0), np.random.default_rng(0)
    for layer in network.layers:
        if layer.kind == "batch_norm":
            for values in layer.params.values():
                values[:] = rng.uniform(0.5, 1.5, values.shape)
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    folded = canonical(network)
    assert_same_network(folded, from_onnx(model.SerializeToString()))
    assert "BatchNormalization" not in operators(network)
    x = inputs_for(network, 2)
    expected = forward(network, parameters(network), x)[network.layers[-1].name]
    # Folded weights, and float32 sums in another order, through up to 30 layers.
    np.testing.assert_allclose(run_onnx(model, x), expected, rtol=1e-3, atol=1e-4 * float(np.abs(expected).max()))


def operators(network: Network) -> Counter[str]:
    return Counter(node.op_type for node in to_onnx(network).graph.node)


def run_of_images(channels: int) -> Network:
    window: dict[str, Attr] = {
        "stride_h": 1,
        "stride_w": 1,
        "pad_top": 1,
        "pad_left": 1,
        "pad_bottom": 1,
        "pad_right": 1,
        "activation": "relu",
    }
    kernel: dict[str, Attr] = {"kernel_h": 3, "kernel_w": 3} | window
    rng = np.random.default_rng(0)
    weights = {
        "first": {"weight": rng.normal(size=(4, 3, 3, channels)).astype(np.float32)},
        "second": {"weight": rng.normal(size=(3, 3, 4)).astype(np.float32)},
    }
    layers = (
        Layer("first", make("conv2d", kernel), ("input",), (5, 5, 4), weights["first"]),
        Layer("second", make("depthwise_conv2d", kernel | {"multiplier": 1}), ("first",), (5, 5, 4), weights["second"]),
        Layer("sum", Add(), ("first", "second"), (5, 5, 4)),
        Layer("six", Relu(activation="relu6"), ("sum",), (5, 5, 4)),
        Layer("pool", make("max_pool2d", window | {"pool_h": 3, "pool_w": 3}), ("six",), (5, 5, 4)),
    )
    return Network("run", (5, 5, channels), layers)


def test_a_run_of_image_operators_is_transposed_at_its_ends_alone() -> None:
    assert operators(run_of_images(3))["Transpose"] == 2
    assert operators(as_int8(run_of_images(3)))["Transpose"] == 2
    mean = Layer("mean", GlobalAveragePool(), ("pool",), (4,))
    network = run_of_images(3)
    assert operators(replace(network, layers=(*network.layers, mean)))["Transpose"] == 1


def test_nothing_is_transposed_where_no_element_would_move() -> None:
    network = run_of_images(1)
    mean = Layer("mean", GlobalAveragePool(), ("pool",), (4,))
    counts = operators(replace(network, layers=(*network.layers, mean)))
    assert (counts["Transpose"], counts["Reshape"]) == (0, 1)


def test_the_integers_are_moved_and_not_the_floats() -> None:
    """Each operator of an int8 file reads a DequantizeLinear, so that a runtime finds its integer form."""
    model = to_onnx(as_int8(run_of_images(3)))
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Add", "MaxPool"):
            assert {made[name] for name in node.input} == {"DequantizeLinear"}


@pytest.mark.parametrize("per_channel", [False, True])
def test_scales_lie_along_the_outputs_of_the_weights_as_onnx_holds_them(per_channel: bool) -> None:
    network = as_int8(run_of_images(3), per_channel=per_channel)
    model = to_onnx(network)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for layer in network.layers[:2]:
        axis = {"conv2d": 0, "depthwise_conv2d": 2}[layer.kind]
        assert layer.quant["weight"].axis == (axis if per_channel else None)
        assert constants[f"{layer.name}.weight.scale"].shape == ((4,) if per_channel else ())
        assert constants[f"{layer.name}.weight"].shape[0] == 4
        node = next(node for node in model.graph.node if node.name == f"{layer.name}.weight.dequantize")
        assert [attribute.i for attribute in node.attribute] == ([0] if per_channel else [])


def test_hostile_names_of_images_come_back_as_they_are() -> None:
    names = ["input.quantized", "sum.linear", "first.weight", "a\nb", "relu6.max"]
    network = run_of_images(2)
    renamed = dict(zip([layer.name for layer in network], names, strict=True)) | {"input": "input"}
    layers = tuple(replace(layer, name=renamed[layer.name], inputs=tuple(renamed[name] for name in layer.inputs)) for layer in network)
    for made in (replace(network, layers=layers), as_int8(replace(network, layers=layers))):
        model = to_onnx(made)
        onnx.checker.check_model(model, full_check=True)
        assert_same_network(made, from_onnx(model.SerializeToString()))


def test_outputs_past_both_ends_saturate_in_onnx_runtime_as_with_us() -> None:
    layer = as_int8(run_of_images(3)).layers[0]
    quant = dict(layer.quant) | {"output": Quant((layer.quant["output"].scale[0] / 16,), 3)}
    network = replace(as_int8(run_of_images(3)), layers=(replace(layer, op=kind(layer).replacing(activation="none"), quant=quant),))
    assert network.input_quant is not None
    x = inputs_for(network, 4)
    expected = ours(network, x)["first"]
    assert {-128, 127} <= set(expected.reshape(-1).tolist())
    actual = integers(network, run_onnx(to_onnx(network), dequantise_array(x, network.input_quant))).reshape(expected.shape)
    assert np.abs(actual - expected).max() <= 1
