"""Functions of one variable at every place: int8 tables that give all of TFLM's outputs, and float kernels as exact as they say."""

from __future__ import annotations

import numpy as np
import pytest
from model_files import assert_same_network, run_litert, run_onnx, run_tflm

from edgeff import registry
from edgeff.errors import Unsupported
from edgeff.formats import from_onnx, from_tflite
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops import Operator, kind, make
from edgeff.ops.elementwise import INPUTS, Elementwise, Scales
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

EVERY = INPUTS.astype(np.int8)[None]
SCALES = (1e-6, 2.0**-12, 0.003, 2.0**-7, 0.0234, 1 / 24, 0.1, 1.0, 7.9, 8.0, 300.0)
ZEROS = (-128, -1, 0, 5, 127)
RATIOS = (2.0**-8, 0.01, 0.3, 1.0, 1.7, 40.0, 127.9)
"""Of the output's scale to the input's, where the operator does not fix the output's."""
OPERATORS = tuple(name for name, item in registry.ops.items() if issubclass(item, Elementwise) and name != "rsqrt")  # above zero alone
RECORDS = (*(make(name, {}) for name in OPERATORS), *(make("leaky_relu", {"alpha": alpha}) for alpha in (0.0, 0.3, 1.0, 1.5, -0.5)))


def named(op: Operator) -> str:
    return " ".join(map(str, (op.name, *op.attributes.values())))


def int8_network(op: Operator, x: Quant, y: Quant) -> Network:
    return Network("one", (256,), (Layer("y", op, ("input",), (256,), {}, {"output": y}),), x)


def quantised(op: Operator) -> list[Network]:
    """The operator alone between every input scale and zero point and some output scales and zero points."""
    rng = np.random.default_rng(0)
    networks = []
    for scale in SCALES:
        for zero in ZEROS:
            x = Quant((float(np.float32(scale)),), zero)
            fixed = op.fixed_quant("int8")
            outputs = [fixed] if fixed else [Quant((float(np.float32(scale * r)),), int(rng.choice(ZEROS))) for r in RATIOS]
            networks += [int8_network(op, x, y) for y in outputs]
    return networks


def twin(network: Network) -> Array:
    interpreter = Interpreter(deploy(network, numeric="int8", target="input").program)
    interpreter.predict(EVERY[0])
    return interpreter.output().reshape(1, -1)


TIES = (
    (2.4759063720703125, -49, 2.1754887104034424, -124),
    (0.9322659969329834, -108, 0.2431778907775879, -47),
    (0.8782139420509338, 7, 0.33087262511253357, -82),
    (0.7631813287734985, 64, 0.06700226664543152, -99),
)
"""Input and output scales and zero points for which a hard swish with factors in float32 has other outputs than one in float64."""


def at_ties(op: Operator) -> list[Network]:
    """Scales for which factors in float32 have other outputs than those in float64."""
    if op.name == "hard_swish":
        return [int8_network(op, Quant((x,), x_zero), Quant((y,), y_zero)) for x, x_zero, y, y_zero in TIES]
    rng = np.random.default_rng(1)
    scales = [(x, np.float32(x / rng.choice([0.375, 0.75, 1.5]))) for x in rng.uniform(1e-3, 1, 20).astype(np.float32)]
    return [] if op.fixed_quant("int8") else [int8_network(op, Quant((float(x),), 0), Quant((float(y),), 0)) for x, y in scales]


@pytest.mark.slow
@pytest.mark.parametrize("op", RECORDS, ids=named)
def test_every_int8_output_is_that_of_tflm(op: Operator) -> None:
    compared = 0
    for network in quantised(op) + at_ties(op):
        try:
            expected = twin(network)
        except Unsupported:
            continue
        actual = run_tflm(to_tflite(network), EVERY)
        assert int(np.count_nonzero(expected != actual)) == 0, network.layers[0].quant
        compared += 1
    assert compared >= 35


def test_every_int8_reciprocal_root_is_that_of_tflm() -> None:
    op = make("rsqrt", {})
    for scale in SCALES:
        for ratio, zero in ((0.001, 5), (0.01, -128), (0.03, 0), (1.0, 0), (3.0, 127)):
            network = int8_network(op, Quant((float(np.float32(scale)),), -128), Quant((float(np.float32(ratio / scale**0.5)),), zero))
            assert twin(network).tolist() == run_tflm(to_tflite(network), EVERY).tolist(), network.layers[0].quant
    below = op.table(Scales(0.1, 0, 0.01, -128))[:129]  # type: ignore[attr-defined]
    assert set(below.tolist()) == {127}  # where TFLM stops


def test_the_reciprocal_root_in_float_is_that_of_other_runtimes() -> None:
    network = Network("one", (40,), (Layer("y", make("rsqrt", {}), ("input",), (40,)),))
    x, data = np.geomspace(1e-11, 1e9, 40, dtype=np.float32)[None], to_tflite(network)
    assert_same_network(network, from_tflite(data))
    for actual in (run_litert(data, x), run_tflm(data, x)):
        np.testing.assert_allclose(actual, 1 / np.sqrt(x.astype(np.float64)), rtol=1e-6)
    with pytest.raises(Unsupported, match="ONNX has no operator of one over the square root"):
        to_onnx(network)


def test_scales_for_which_tflm_has_no_answer_are_refused_by_name() -> None:
    op = make("hard_swish", {})
    with pytest.raises(Unsupported, match=r"^layer 'y', rescaling: got a factor of 3.91; allowed: 2\*\*-16 to 2\*\*0; calibrate on data"):
        deploy(int8_network(op, Quant((1.0,), 0), Quant((0.002,), 0)), numeric="int8", target="input")
    with pytest.raises(Unsupported, match=r"^layer 'y', rescaling: got a factor of 1e\+07"):
        deploy(int8_network(make("leaky_relu", {}), Quant((1.0,), 0), Quant((1e-7,), 0)), numeric="int8", target="input")
    scales = Scales(0.1, 0, 0.1, 0)
    for name in ("logistic", "tanh"):
        with pytest.raises(Unsupported, match=rf"^output of {name}: got scale 0.1 and zero point 0; allowed: 1/"):
            make(name, {}).table(scales)  # type: ignore[attr-defined]


@pytest.mark.parametrize("op", RECORDS, ids=named)
def test_the_table_is_within_a_step_of_the_function(op: Elementwise) -> None:
    for scale, zero in ((0.0234, 0), (0.04, -20), (0.004, 5)):
        y = op.fixed_quant("int8") or Quant((scale,), zero)
        made = op.table(Scales(scale, zero, y.scale[0], y.zero_point))
        exact = np.clip(op.value((INPUTS - zero) * scale) / y.scale[0] + y.zero_point, -128, 127)
        assert int(np.abs(made - np.round(exact)).max()) <= 1


@pytest.mark.parametrize("op", RECORDS, ids=named)
def test_float_files_hold_it_and_other_runtimes_compute_it(op: Operator) -> None:
    layers = (Layer("y", op, ("input",), (40,)), Layer("z", op, ("y",), (40,)))
    network = Network("two", (40,), layers)
    x = np.linspace(-9, 9, 40, dtype=np.float32)[None]
    expected = kind(layers[1]).forward(layers[1], {}, kind(layers[0]).forward(layers[0], {}, x.astype(np.float64)))
    model, data = to_onnx(network), to_tflite(network)
    assert_same_network(network, from_onnx(model.SerializeToString()))
    assert_same_network(network, from_tflite(data))
    for actual in (run_onnx(model, x), run_litert(data, x), run_tflm(data, x)):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)  # float32 exponentials, ours good to 2^-22


@pytest.mark.parametrize("op", RECORDS, ids=named)
def test_the_slope_is_the_derivative(op: Elementwise) -> None:
    x = np.linspace(-7.3, 7.1, 501)
    step = 1e-5
    central = (op.value(x + step) - op.value(x - step)) / (2 * step)
    corner = np.abs(np.abs(x) - 3) < 2 * step if op.name == "hard_swish" else np.abs(x) < 2 * step
    np.testing.assert_allclose(op.slope(x)[~corner], central[~corner], rtol=1e-7, atol=1e-9)  # the rounding of a central difference


@pytest.mark.parametrize(("name", "bits"), [("logistic", 22), ("tanh", 22)])
def test_the_float_kernels_are_as_exact_as_their_comments_say(name: str, bits: int) -> None:
    """Over 2^21 of the float32 numbers, evenly spaced in their bits."""
    magnitudes = np.arange(0, 0x42AE0000, 0x42AE0000 >> 20, dtype=np.uint32)  # up to 87
    x = np.concatenate([magnitudes, magnitudes | np.uint32(1 << 31)]).view(np.float32)
    y = np.empty_like(x)
    registry.kernels[f"eff_{name}_f32"].run(y, x, n=x.size)
    exact = make(name, {}).value(x.astype(np.float64))  # type: ignore[attr-defined]
    normal = np.abs(exact) > 2.0**-126
    assert float(np.abs(y[normal] / exact[normal] - 1).max()) < 2.0**-bits
