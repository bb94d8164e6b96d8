"""Quantisation: zero is exact, ranges are covered, weights are symmetric, and what cannot be quantised is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import samples, small

from edgeff.errors import BadInput
from edgeff.ir import Array, Headroom, Layer, Network, Numeric, Quant
from edgeff.ops import forward, parameters
from edgeff.ops.dense import Dense
from edgeff.program.deploy import Deployment
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.program.quantize import QMAX, affine, dequantise_array, quantise_array, quantize

REALS = st.floats(-(2.0**100), 2.0**100, width=32)
NUMBERS: tuple[Numeric, ...] = ("int8", "int16")


@given(REALS, REALS, st.sampled_from(NUMBERS))
def test_a_range_is_covered_and_zero_is_exact(a: float, b: float, numeric: Numeric) -> None:
    low, high = min(a, b), max(a, b)
    quant = affine(low, high, numeric)
    scale = quant.scale[0]
    assert scale > 0
    assert scale == float(np.float32(scale))
    assert dequantise_array(quantise_array(np.zeros(1), quant), quant)[0] == 0.0
    smallest = -QMAX[numeric] - (numeric == "int8")
    assert smallest <= quant.zero_point <= QMAX[numeric]
    # half a step is lost when zero moves to a whole step; float32 rounds the scale by 2**-24 of itself, 255 or 32,767 times
    tolerance = scale * (0.5 + 0.02)
    assert (smallest - quant.zero_point) * scale <= min(low, 0.0) + tolerance
    assert (QMAX[numeric] - quant.zero_point) * scale >= max(high, 0.0) - tolerance


@given(st.lists(st.floats(-2.0, 3.0, width=32), min_size=1, max_size=20), st.sampled_from(NUMBERS))
def test_values_in_range_lose_half_a_step_at_most(values: list[float], numeric: Numeric) -> None:
    quant = affine(-2.0, 3.0, numeric)
    back = dequantise_array(quantise_array(np.array(values, np.float32), quant), quant)
    # one more half step where the range's ends moved with the zero point, and float32's rounding
    assert np.abs(back - np.array(values, np.float32)).max() <= quant.scale[0] * 1.01


def test_rounding_is_to_even_and_saturates() -> None:
    quant = Quant((1.0,), 3)
    values = np.array([0.5, 1.5, 2.5, -0.5, 1e9, -1e9])
    assert quantise_array(values, quant).tolist() == [3, 5, 5, 3, 127, -128]
    assert quantise_array(values, replace(quant, zero_point=0, dtype="int16")).tolist() == [0, 2, 2, 0, 32767, -32767]


def outputs(network: Network, x: Array) -> Array:
    """The scores of each sample as real numbers, by the twins."""
    program = lower(network)
    twin, quant = Interpreter(program), program.tensors[program.output].quant
    found = []
    for sample in Deployment(program, network, None).inputs(x):
        twin.predict(sample)
        found.append(twin.output() if quant is None else dequantise_array(twin.output(), quant))
    return np.array(found)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("numeric", "per_channel", "tolerance"), [("int8", False, 0.05), ("int8", True, 0.05), ("int16", False, 3e-4)])
def test_integers_compute_what_floats_do(numeric: Numeric, per_channel: bool, tolerance: float, bias: bool) -> None:
    network, x = small(bias=bias), samples(40)
    quantised = quantize(network, x, numeric, per_channel=per_channel)
    exact = forward(network, parameters(network), x)["softmax"]
    # a few steps of 1/256 or 1/32768, the sum of each layer's half step through the slopes of the network
    assert np.abs(outputs(quantised, x) - exact).max() <= tolerance
    assert np.abs(outputs(network, x) - exact).max() <= 1e-6


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("numeric", NUMBERS)
def test_weights_are_symmetric_and_biases_on_the_sums_scale(numeric: Numeric, per_channel: bool) -> None:
    network = small(bias=True)
    quantised = quantize(network, samples(40), numeric, per_channel=per_channel)
    assert quantised.numeric == numeric
    scale = quantised.input_quant.scale[0] if quantised.input_quant else 0.0
    for layer in quantised.trainable:
        weight, quant = layer.params["weight"].astype(int), layer.quant["weight"]
        assert quant.zero_point == 0
        assert len(quant.scale) == (len(weight) if per_channel else 1)
        assert (np.abs(weight).max(axis=1 if per_channel else None) == QMAX[numeric]).all()
        back = weight * quant.scales().reshape(-1, 1)
        assert np.abs(back - network[layer.name].params["weight"]).max() <= quant.scales().max() / 2 * 1.001
        assert layer.params["bias"].dtype == np.int32
        sums = 16.0 if numeric == "int16" else 1.0  # the 12 or 8 products of an int16 sum are rounded by 2**4
        np.testing.assert_allclose(layer.quant["bias"].scales(), scale * quant.scales() * sums, rtol=1e-6)  # float32 files
        scale = layer.quant["output"].scale[0]


def test_a_row_of_zeros_and_tiny_weights_have_scales() -> None:
    network, x = small(), samples(4)
    network["dense_1"].params["weight"][0] = 0.0
    network["dense_2"].params["weight"][:] = 1e-44
    quantised = quantize(network, x, "int8", per_channel=True)
    assert not quantised["dense_1"].params["weight"][0].any()
    assert all(min(quant.scale) > 0 for layer in quantised for quant in layer.quant.values())


WEIGHTS = (1.0, 1e-5, 1e-12, 1e-30, 1e-44, 0.0)
INPUTS = (1e3, 1.0, 1e-8, 1e-30, 1e-38)


@pytest.mark.parametrize("x_size", INPUTS)
@pytest.mark.parametrize("w_size", WEIGHTS)
@pytest.mark.parametrize(("numeric", "per_channel"), [("int8", False), ("int8", True), ("int16", False), ("int16", True)])
def test_no_bias_is_clipped(numeric: Numeric, per_channel: bool, w_size: float, x_size: float) -> None:
    """Whatever the sizes of a dead channel's weights and of the inputs: an output says its bias, or the layer is named in an error."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0, 0.5, (3, 12)).astype(np.float32), np.array([0.1, 1.0, -0.7], np.float32)
    weight[1:] *= np.float32(w_size)
    layer = Layer("dense", Dense(), ("input",), (3,), {"weight": weight, "bias": bias})
    network, x = Network("dead", (12,), (layer,)), (rng.random((20, 12)) * x_size).astype(np.float32)
    try:
        quantised = quantize(network, x, numeric, per_channel=per_channel)
    except BadInput as error:
        assert str(error).startswith("quantising layer 'dense': got a bias of 1 over inputs in steps of ")  # noqa: PT017
        assert x_size == 1e-38
        return
    step = quantised["dense"].quant["output"].scale[0]
    exact = forward(network, parameters(network, np.float64), x.astype(np.float64))["dense"]
    # half a step of the output, and those of 12 inputs and weights through the sum
    assert np.abs(outputs(quantised, x) - exact).max() <= 4 * step
    back = quantised["dense"].params["bias"] * quantised["dense"].quant["bias"].scales()
    assert np.abs(back - bias).max() <= max(quantised["dense"].quant["bias"].scale) / 2 * 1.001 + 1e-6


def test_a_bias_has_room_to_learn() -> None:
    network, x = small(bias=True), samples(20)
    network["dense_2"].params["weight"][:] *= np.float32(1e-9)
    network["dense_2"].params["bias"][1] = 1.0
    quantised = quantize(network, x, headroom=Headroom(weights=2.0), learning=["dense_2"])
    assert 2**28 < np.abs(quantised["dense_2"].params["bias"]).max() <= 2**29


def test_no_scale_holds_a_bias_beyond_float32() -> None:
    network = small(bias=True)
    network["dense_1"].params["bias"][0] = 1e30
    with pytest.raises(BadInput, match=r"^quantising layer 'dense_1': got a bias of 1e\+30 over inputs in steps of 1\.18e-38; allowed: "):
        quantize(network, np.full((2, 12), 1e-44, np.float32))


def test_headroom_widens_the_ranges() -> None:
    network, x = small(), samples(40)
    plain, roomy = quantize(network, x), quantize(network, x, headroom=Headroom(2.0, 3.0, 5.0, 0.5))
    assert plain.input_quant is not None
    assert roomy.input_quant is not None
    assert roomy.input_quant.scale[0] > plain.input_quant.scale[0]
    for name, what, factor in (("dense_1", "weight", 2.0), ("dense_1", "output", 3.0), ("dense_2", "output", 5.0)):
        assert roomy[name].quant[what].scale[0] == pytest.approx(factor * plain[name].quant[what].scale[0], rel=1e-6)  # float32 scales
    assert roomy["softmax"].quant == plain["softmax"].quant


def test_a_percentile_leaves_outliers_out() -> None:
    network, x = small(), samples(200)
    whole, most = quantize(network, x), quantize(network, x, method="percentile", percentile=90.0)
    assert most["dense_1"].quant["output"].scale[0] < whole["dense_1"].quant["output"].scale[0]
    assert most.metadata["calibration"] == {"method": "percentile", "samples": 200, "per_channel": False}
    assert quantize(network, x, method="percentile", percentile=100.0)["dense_1"].quant == whole["dense_1"].quant


def with_weight(value: float) -> Network:
    network = small()
    network["dense_2"].params["weight"][1, 2] = value
    return network


@pytest.mark.parametrize(
    ("network", "x", "options", "line"),
    [
        (quantize(small(), samples(4)), samples(4), {}, "quantise: got a network that is int8 already"),
        (small(), samples(4), {"numeric": "float32"}, "numeric: got 'float32'; allowed: int8, int16"),
        (small(), samples(4), {"method": "mean"}, "calibration: got mean 99.9"),
        (small(), samples(4), {"method": "percentile", "percentile": 50.0}, "calibration: got percentile 50"),
        (small(), samples(4), {"percentile": float("nan")}, "calibration: got minmax nan"),
        (small(), samples(0), {}, r"calibration data: got shape \(0, 12\)"),
        (small(), samples(4)[:, :5], {}, r"calibration data: got shape \(4, 5\)"),
        (small(), samples(4)[0], {}, r"calibration data: got shape \(12,\)"),
        (small(), np.full((2, 12), np.inf), {}, "calibration data: got 24 values that are NaN or infinite"),
        (with_weight(np.nan), samples(4), {}, "layer 'dense_2', weight: got 1 values that are NaN or infinite"),
        (with_weight(-np.inf), samples(4), {}, "layer 'dense_2', weight: got 1 values that are NaN or infinite"),
    ],
)
def test_what_cannot_be_quantised_is_refused(network: Network, x: Array, options: dict[str, object], line: str) -> None:
    with pytest.raises(BadInput, match=f"^{line}"):
        quantize(network, x, **options)  # type: ignore[arg-type]


def test_a_network_without_weights_can_be_quantised() -> None:
    network = small()
    softmax = Network("s", (4,), (replace(network["softmax"], inputs=("input",)),))
    assert quantize(softmax, np.zeros((1, 4), np.float32)).input_quant is not None
