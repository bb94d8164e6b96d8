"""Operators as records: every attribute checked by name, their form in files, files of 0.1, and what their traits claim."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from math import inf, prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from image_networks import Builder, as_int8, inputs_for
from model_files import assert_same_network, run_litert, run_onnx
from random_networks import one_layer

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.formats import from_onnx, from_tflite, load
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Layer, Network
from edgeff.kernels.activation import ACTIVATIONS, RELU6, ActivationFunction
from edgeff.ops import Operator, forward, kind, make, operator, parameters, sample_shape
from edgeff.ops.attributes import Count, domains
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.dense import Dense
from edgeff.ops.normalise import Normalise
from edgeff.ops.relu import Relu
from edgeff.ops.transpose import Transpose
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower

OLD = Path(__file__).parent / "data" / "model_0_1"
HOST_ONLY: Mapping[str, Mapping[str, Any]] = {
    "audio_frontend": {"hop": 160},
    "mfcc": {"frame": 400},
    "physical": {"map": "speckle", "seed": 7},
}
OPS = sorted(registry.ops)
DRAWN = sorted(set(registry.ops) - set(HOST_ONLY))
ATTRIBUTES = [(op, name) for op in OPS for name in domains(registry.ops[op])]
BAD: Mapping[type, tuple[object, ...]] = {
    bool: (0, 1, "yes", None),
    int: (True, 1.5, "3", None, [1], 10**400),
    float: (True, "0.1", None, float("nan"), inf, -inf, 10**400),
    str: (1, True, None, ["relu"]),
}


def example(op: str, seed: int = 3) -> Operator:
    """A record of each operator, drawn at random where networks can be."""
    return make(op, HOST_ONLY[op]) if op in HOST_ONLY else kind(next(each for each in one_layer(op, seed) if each.kind == op))


# ------------------------------------------------------------------ attributes


@pytest.mark.parametrize("op", OPS)
def test_a_record_comes_back_from_json(op: str) -> None:
    for seed in range(5):
        record = example(op, seed)
        again = make(op, json.loads(json.dumps(record.attributes)))
        assert again == record
        assert hash(again) == hash(record)
        assert all(type(getattr(again, name)) is type(getattr(record, name)) for name in domains(type(record)))


@pytest.mark.parametrize(("op", "name"), ATTRIBUTES)
def test_a_bad_attribute_is_refused_by_its_name(op: str, name: str) -> None:
    base, limits = domains(registry.ops[op])[name]
    beyond = [float(end) + step for limit in limits if (end := getattr(limit, "low", None)) is not None for step in (-1,)]
    worse: list[object] = [base(value) for value in beyond] if base in (int, float) else ["no such name"] if limits else []
    for value in (*BAD[base], *worse):
        with pytest.raises(BadInput, match=rf"^{op}, {name}: got .*; allowed: .+"):
            example(op).replacing(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("op", OPS)
def test_unknown_and_missing_attributes_are_refused_by_name(op: str) -> None:
    with pytest.raises(BadInput, match=rf"^{op}: got the attribute 'colour'; allowed: .+"):
        make(op, {**example(op).attributes, "colour": 1})
    for item in fields(registry.ops[op]):
        if item.default is MISSING:
            given = {name: value for name, value in example(op).attributes.items() if name != item.name}
            with pytest.raises(BadInput, match=rf"^{op}, {item.name}: got nothing; allowed: .+"):
                make(op, given)


def test_an_operator_that_nobody_registered_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^unknown operator: got 'conv'; allowed: abs, add, "):
        make("conv", {})
    with pytest.raises(BadInput, match=r"^layer 'c', operator: got 'conv2d'; allowed: a record of edgeff.ops"):
        kind(Layer("c", "conv2d", ("input",), (4,)))  # type: ignore[arg-type]


def test_numbers_of_numpy_become_plain_ones() -> None:
    record = make(Conv2d, {"kernel_h": np.int64(3), "kernel_w": np.int8(2)})
    assert record == Conv2d(kernel_h=3, kernel_w=2)
    assert type(record.kernel_h) is int
    whole = make(Normalise, {"eps": 1})
    assert whole.eps == 1.0
    assert type(whole.eps) is float


@pytest.mark.parametrize("perm", ["", "0,0", "1,2", "0,1,2,3", "0, 1", "a", "0," * 10_000, "-1,0"])
def test_an_order_of_axes_that_is_none_is_refused(perm: str) -> None:
    with pytest.raises(BadInput, match=r"^transpose, perm: got .*; allowed: at most 3 axes, each once, separated by commas$"):
        Transpose(perm=perm)


def test_a_relu_that_clamps_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^relu, activation: got 'none'; allowed: relu, relu6$"):
        Relu(activation="none")


def test_a_file_does_not_mention_what_only_a_structure_or_groups_need() -> None:
    assert Dense(activation="relu").attributes == {"activation": "relu"}
    assert "groups" not in Conv2d(kernel_h=1, kernel_w=1).attributes
    assert Conv2d(kernel_h=1, kernel_w=1, groups=2).attributes["groups"] == 2


def test_an_operator_outside_the_package_is_a_class_under_a_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.ops, "_items", dict(registry.ops))

    @operator
    @dataclass(frozen=True, kw_only=True)
    class Repeat(Operator):
        """Each element ``times`` times."""

        name: ClassVar[str] = "repeat"
        times: Count

        def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:  # noqa: ARG002
            return (inputs[0][0] * self.times,)

        def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:  # noqa: ARG002
            return np.repeat(xs[0], self.times, axis=1)

    layer = Layer("twice", make("repeat", {"times": 2}), ("input",), (6,))
    layer.op.check(layer, ((3,),), quantised=False)  # type: ignore[attr-defined]
    assert forward(Network("n", (3,), (layer,)), {}, np.array([[1, 2, 3]]))["twice"].tolist() == [[1, 1, 2, 2, 3, 3]]
    with pytest.raises(BadInput, match=r"^repeat, times: got 0; allowed: a whole number, 1 to 16,777,216$"):
        make("repeat", {"times": 0})


# ------------------------------------------------------------------ files of 0.1


def every_operator(builder: Builder) -> None:
    """What edgeff 0.1 wrote into tests/data/model_0_1: every operator that a file can hold, with attributes that are not its defaults."""
    builder.window("stem", "conv2d", (3, 2), (2, 1), (1, 0, 2, 1), outputs=4, activation="relu6")
    builder.window("grouped", "conv2d", (1, 1), outputs=4, groups=2)
    builder.window("deep", "depthwise_conv2d", (3, 3), (1, 2), (0, 1, 2, 1), multiplier=2, activation="relu")
    builder.window("mean", "average_pool2d", (2, 2), (1, 1), (0, 0, 1, 1))
    builder.window("most", "max_pool2d", (2, 2), activation="relu")
    builder.add("bent", "relu", activation="relu6")
    builder.add("sum", "add", ["most", "bent"], activation="relu")
    builder.add("scaled", "requantise")
    builder.add("turned", "transpose", perm="2,0,1")
    builder.add("rows", "reshape", (), (8, builder.shape("turned")[1] * builder.shape("turned")[2]))
    builder.conv1d("line", 3, 3, 2, (2, 0), "relu6")
    builder.add("level", "standardise", eps=1e-5)
    builder.add("marked", "label", (), (0,), classes=3, on=0.75, neutral=0.1)
    builder.add("norm", "normalise", eps=0.1)
    builder.dense("logits", 5)
    builder.add("probabilities", "softmax")


def every_operator_network() -> Network:
    builder = Builder((7, 6, 3), 5)
    every_operator(builder)
    return builder.network("every operator")


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_file_of_0_1_loads_as_it_was_and_is_written_with_the_same_words(name: str) -> None:
    network = every_operator_network()
    expected = network if name == "float32" else as_int8(network, 5)
    path = OLD / f"{name}.onnx"
    loaded = load(path)
    assert_same_network(expected, loaded)
    old, new = onnx.load(path), to_onnx(loaded)
    assert new.graph == old.graph
    properties = [{entry.key: json.loads(entry.value) for entry in model.metadata_props} for model in (old, new)]
    assert properties[0] == properties[1]


def test_a_description_with_an_attribute_of_another_version_leaves_the_graphs_reading() -> None:
    model = to_onnx(every_operator_network())
    entry = next(entry for entry in model.metadata_props if entry.key == "edgeff.network")
    described = json.loads(entry.value)
    described["layers"][0]["attrs"]["dilation"] = 2
    described["layers"][0]["attrs"]["activation"] = "relu"
    entry.value = json.dumps(described)
    assert_same_network(every_operator_network(), from_onnx(model.SerializeToString()))


# ------------------------------------------------------------------ traits


def run(network: Network, x: Array) -> Array:
    return forward(network, parameters(network, np.float64), x)[network.layers[-1].name]


def drawn_input(network: Network, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(1, *sample_shape(network)))


@pytest.mark.parametrize("op", DRAWN)
@pytest.mark.parametrize("seed", range(4))
def test_traits_say_what_the_operator_does(op: str, seed: int) -> None:
    network = one_layer(op, seed)
    layer, record = network.layers[-1], kind(network.layers[-1])
    x = drawn_input(network)
    y = run(network, x)
    assert len(layer.inputs) >= record.arity
    assert record.input_axes in (None, len(network.input_shape))
    assert record.weighted == (layer.trainable and not record.moving)
    if record.keeps_sign:
        assert run(network, np.abs(x)).min() >= 0
    if record.probabilities:
        assert y.sum() == pytest.approx(1.0)
    if record.keeps_places or record.works_in_place:
        assert prod(layer.shape) == prod(network.input_shape)
    if (record.elementwise or record.channelwise) and x.shape[1:] == network.input_shape:
        place = tuple(np.random.default_rng(seed).integers(0, x.shape))
        moved = x.copy()
        moved[place] += 3.0
        changed = np.argwhere(run(network, moved) != y)
        width = y.shape[-1] // x.shape[-1]
        assert all(index[-1] // width == place[-1] for index in changed)
        if record.elementwise:
            assert all(tuple(index) == place for index in changed)


def test_traits_that_the_rules_rest_on() -> None:
    having = {
        trait: {op for op in OPS if getattr(registry.ops[op], trait)}
        for trait in ("weighted", "keeps_sign", "elementwise", "keeps_places", "works_in_place", "channelwise", "probabilities")
    }
    pools = {"average_pool2d", "max_pool2d", "global_average_pool"}
    pairs = {"add", "maximum", "minimum", "mul", "prelu", "sub"}
    curves = {"abs", "hard_swish", "leaky_relu", "logistic", "rsqrt", "tanh"}
    moves = {"concat", "convert", "recent", "requantise", "reshape", "resize_bilinear", "slice", "transpose", "upsample2d"}
    assert having == {
        "weighted": {"dense", "conv1d", "conv2d", "depthwise_conv2d"},
        "keeps_sign": {*pools, *curves, *moves},
        "elementwise": {*curves, *pairs, "batch_norm", "convert", "relu", "requantise", "scale_input"},
        "keeps_places": {
            *curves,
            *pairs,
            "batch_norm",
            "convert",
            "relu",
            "requantise",
            "reshape",
            "normalise",
            "standardise",
            "softmax",
            "log_softmax",
            "scale_input",
        },
        "works_in_place": {*curves, "convert", "relu", "reshape", "requantise"},
        "channelwise": {*pools, "depthwise_conv2d", "resize_bilinear", "upsample2d"},
        "probabilities": {"softmax"},
    }


# ------------------------------------------------------------------ activation functions

BETWEEN_ONES = ActivationFunction("relu_n1_to_1", 3, -1.0, 1.0, "Clip", "RELU_N1_TO_1")


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> ActivationFunction:
    monkeypatch.setitem(ACTIVATIONS, BETWEEN_ONES.name, BETWEEN_ONES)
    return BETWEEN_ONES


def small_network(activation: str) -> Network:
    builder = Builder((5, 4, 3), 2)
    builder.window("first", "conv2d", (3, 2), pads=(1, 0, 1, 1), outputs=6, activation=activation)
    builder.window("second", "conv2d", (2, 2), outputs=5)
    builder.add("pooled", "global_average_pool")
    return builder.network()


def test_one_more_function_is_one_record_on_the_host_and_in_files(one_more: ActivationFunction) -> None:
    network = small_network(one_more.name)
    x = inputs_for(network, 20)
    h = forward(network, parameters(network), x)
    plain = forward(small_network("none"), parameters(network), x)["first"]
    np.testing.assert_array_equal(h["first"], np.clip(plain, -1, 1))
    gated = kind(network["first"]).gate(network["first"], np.ones_like(plain), h["first"])
    np.testing.assert_array_equal(gated, (np.abs(plain) < 1).astype(np.float32))
    model = to_onnx(network)
    assert_same_network(network, from_onnx(model.SerializeToString()))
    # float32 sums of 18 and 24 products in another order
    np.testing.assert_allclose(run_onnx(model, x), h["pooled"], rtol=1e-5, atol=1e-5)
    data = to_tflite(network)
    assert_same_network(network, from_tflite(data))
    np.testing.assert_allclose(run_litert(data, x), h["pooled"], rtol=1e-5, atol=1e-5)


def test_one_more_function_in_int8_is_litert_s_to_the_bit(one_more: ActivationFunction) -> None:
    network = as_int8(small_network(one_more.name), 4)
    x = inputs_for(network, 50).astype(np.int8)
    twin, found = Interpreter(lower(network)), []
    for row in x:
        twin.predict(row)
        found.append(twin.output().reshape(-1).copy())
    np.testing.assert_array_equal(np.stack(found), run_litert(to_tflite(network), x))


def test_the_ends_of_a_quantised_function_are_tflites() -> None:
    assert RELU6.ends(0.05, -20, -128, 127) == (-20, 100)
    assert RELU6.ends(6 / 255, -128, -128, 127) == (-128, 127)
    assert RELU6.ends(1e-30, 3, -128, 127) == (3, 127)
    assert BETWEEN_ONES.ends(0.4, 10, -128, 127) == (7, 13)  # 2.5 steps, ties away from zero
    assert ACTIVATIONS["none"].ends(0.1, 5, -128, 127) == (-128, 127)
    assert ACTIVATIONS["relu"].ends(0.1, 0, -32767, 32767) == (0, 32767)


def test_every_function_has_a_name_and_a_code_of_its_own() -> None:
    assert all(name == function.name for name, function in ACTIVATIONS.items())
    assert sorted(function.code for function in ACTIVATIONS.values()) == list(range(len(ACTIVATIONS)))


@pytest.mark.parametrize(("op", "eps"), [("normalise", 0.2), ("standardise", 0.05)])
def test_an_eps_that_integers_leave_out_is_refused_where_it_counts(op: str, eps: float) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (8, 6)).astype(np.float32)
    network = Network("one", (6,), (Layer("layer", make(op, {"eps": eps}), ("input",), (6,)),))
    assert deploy(network).program.infer
    with pytest.raises(Unsupported, match=f"layer 'layer' in int8: got eps {eps:g} for inputs up to"):
        deploy(network, x, numeric="int8")
    assert deploy(network, 100 * x, numeric="int8").program.infer
