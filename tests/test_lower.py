"""Lowering: what a program is made of, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_networks import AUTOENCODING, EVERY_PROGRAM, deployed, samples, small

from edgeff import registry
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import Call, Headroom, Layer, Network, Numeric
from edgeff.kernels import check_attrs, numbers
from edgeff.networks import initialised, structure
from edgeff.ops.dense import Dense
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import Builder, lower
from edgeff.program.quantize import quantize

LEARNING = [(rule, numeric) for rule, numeric in EVERY_PROGRAM if rule]


def wide(name: str, numeric: Numeric = "int8", **options: Any) -> Network:
    """A quantised network with one calibration sample."""
    network = initialised(structure(name, **options), 0)
    return quantize(network, np.full((1, *network.input_shape), 0.01, np.float32), numeric)


def one_layer(inputs: int) -> Network:
    """A dense layer of two outputs, in float32."""
    weight = np.full((2, inputs), 0.5, np.float32)
    return Network("wide", (inputs,), (Layer("dense_1", Dense(), ("input",), (2,), {"weight": weight}),))


def with_bias(steps: int) -> Network:
    """The small network in int8 with one large bias."""
    network = quantize(small(bias=True), samples(4))
    network["dense_1"].params["bias"][3] = steps
    return network


@pytest.mark.parametrize(("rule", "numeric"), EVERY_PROGRAM)
def test_every_call_names_known_tensors_and_its_kernels_attributes(rule: str | None, numeric: Numeric) -> None:
    program = deployed(rule, numeric).program
    for call in (*program.infer, *program.learn):
        kernel = registry.kernels[call.kernel]
        assert tuple(call.attrs) == tuple(p.name for p in kernel.attrs)
        for parameter, name in zip(kernel.pointers, (*call.outputs, *call.inputs), strict=True):
            if name and parameter.ctype != "void":
                assert {"float": "float32"}.get(parameter.ctype, parameter.ctype.removesuffix("_t")) == program.tensors[name].dtype
    used = {name for call in (*program.infer, *program.learn) for name in (*call.outputs, *call.inputs) if name}
    assert used == set(program.tensors)


@pytest.mark.parametrize(("rule", "numeric"), EVERY_PROGRAM)
def test_variables_are_what_learning_writes(rule: str | None, numeric: Numeric) -> None:
    program = deployed(rule, numeric, small(bias=True)).program
    written = {name for call in program.learn for name in call.outputs}
    assert {t.name for t in program.by_role("variable", "state")} == {
        name for name in written if program.tensors[name].role in ("variable", "state")
    }
    assert not {t.name for t in program.by_role("constant")} & written
    assert bool(program.by_role("variable")) == bool(rule)
    assert not {name for call in program.infer for name in call.outputs} & {t.name for t in program.by_role("variable", "state")}


def test_inference_alone_keeps_nothing_in_ram() -> None:
    program = lower(small())
    assert (program.learn, program.rule, program.label) == ((), "", None)
    assert not program.by_role("variable", "state")


def test_the_frozen_rule_leaves_hidden_weights_in_flash() -> None:
    program = deployed("frozen", "int8").program
    assert program.tensors["dense_1.weight"].role == "constant"
    assert program.tensors["dense_2.weight"].role == "variable"


@pytest.mark.parametrize(("rule", "numeric"), LEARNING)
def test_a_step_changes_weights_and_counts(rule: str, numeric: Numeric) -> None:
    deployment = deployed(rule, numeric)
    twin = Interpreter(deployment.program)
    before = {t.name: twin.tensor(t.name) for t in deployment.program.by_role("variable")}
    for index, sample in enumerate(deployment.inputs(samples(20))):
        twin.learn(sample, index % 4)
    assert twin.tensor("step").tolist() == [20]
    assert any((twin.tensor(name) != value).any() for name, value in before.items() if name != "rate")
    twin.init()
    assert all((twin.tensor(name) == value).all() for name, value in before.items())
    assert twin.tensor("step").tolist() == [0]


def test_weights_in_another_memory_order_learn_as_well() -> None:
    network = small()
    layer = network["dense_1"]
    turned = network.replacing({"dense_1": replace(layer, params={"weight": np.asfortranarray(layer.params["weight"])})})
    twins = [Interpreter(lower(each, "bp")) for each in (network, turned)]
    for twin in twins:
        twin.learn(samples(1)[0], 1)
    assert (twins[0].tensor("dense_1.weight") == twins[1].tensor("dense_1.weight")).all()
    assert (twins[0].tensor("dense_1.weight") != layer.params["weight"]).any()


def without_keys(call: Call) -> tuple[Call, dict[str, float]]:
    """A call, and its numbers but for the keys of random streams."""
    return replace(call, attrs={}), {name: number for name, number in numbers(call.attrs).items() if name != "key"}


def test_the_seed_is_in_the_streams_alone() -> None:
    network = quantize(small(), samples(40), headroom=Headroom(2.0, 2.0, 2.0))
    first, again, other = (lower(network, "pepita", seed=seed) for seed in (1, 1, 2))
    assert (first.infer, first.learn) == (again.infer, again.learn)
    assert first.infer == other.infer
    assert first.learn != other.learn
    assert [without_keys(call) for call in first.learn] == [without_keys(call) for call in other.learn]


def changed(rule: str, **settings: Any) -> Any:
    return replace(registry.rules[rule].device_settings("float32"), **settings)


@pytest.mark.parametrize(
    ("network", "options", "line"),
    [
        (small(), {"rule": "bp", "settings": changed("bp", momentum=0.9)}, "momentum on a device: got 0.9; allowed: 0.0; set momentum=0"),
        (small(), {"rule": "pepita", "settings": changed("pepita", dropout=0.1)}, "dropout on a device: got 0.1"),
        (small(), {"rule": "bp", "settings": changed("bp", weight_decay=0.5)}, "weight_decay on a device: got 0.5"),
        (quantize(small(), samples(9), per_channel=True), {"rule": "bp"}, "learning in layer 'dense_2': got per-channel weight scales"),
        (wide("12-8-600"), {"rule": "dfa", "settings": changed("dfa", feedback="stored")}, "a stored feedback matrix in integers: got 600"),
        (wide("2-2-4096"), {}, "softmax 'softmax' in int8: got 4,096 elements; allowed: at most 4,095"),
        (wide("2-2-4096", "int16"), {}, "softmax 'softmax' in int16: got 4,096 elements"),
        (quantize(one_layer(32_769), np.zeros((1, 32_769))), {}, "layer 'dense_1' in int8: got 32,769 elements; allowed: at most 32,768"),
        (with_bias(2**30), {"rule": "bp"}, "the bias of layer 'dense_1': got 1,073,741,824 steps; allowed: at most 1,073,741,823"),
        (with_bias(2**31 - 1), {}, "the bias of layer 'dense_1': got 2,147,483,647 steps; allowed: at most 1,073,741,823"),
        (with_bias(-(2**31)), {"rule": "bp"}, "the bias of layer 'dense_1': got 2,147,483,648 steps"),
        (initialised(structure("12-8-1"), 0), {"rule": "bp"}, "learning classes with '12-8-1': got one output"),
    ],
)
def test_what_a_device_cannot_do_is_refused(network: Network, options: dict[str, Any], line: str) -> None:
    with pytest.raises(Unsupported) as caught:
        lower(network, **options)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_outside_32_bits_is_refused(seed: int) -> None:
    with pytest.raises(BadInput, match=r"^seed: got .*; allowed: 0 to 4294967295$"):
        lower(small(), "bp", seed=seed)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^target: got 'labels'; allowed: class, value, input$"):
        lower(small(), target="labels")


def test_forward_forward_refuses_an_autoencoder() -> None:
    with pytest.raises(Unsupported, match=r"^rule ff: got a network that reproduces its input"):
        deployed("ff", "float32", small("12-8-12", softmax=False), target="input")


def test_weights_that_are_not_finite_are_refused() -> None:
    network = small()
    network["dense_1"].params["weight"][0, 0] = np.nan
    with pytest.raises(BadInput, match=r"^layer 'dense_1', weight: got 1 values that are NaN or infinite"):
        lower(network)


def test_the_widest_int8_layer_and_the_largest_bias_fit() -> None:
    widest = quantize(one_layer(32_768), np.zeros((1, 32_768)))
    assert lower(widest, "bp").learn
    assert lower(with_bias(2**30 - 1), "bp").learn
    assert lower(one_layer(32_769)).infer


@pytest.mark.parametrize("rule", AUTOENCODING)
def test_an_autoencoder_learns_without_labels(rule: str) -> None:
    deployment = deployed(rule, "int8", small("12-8-12", softmax=False), target="input")
    program = deployment.program
    assert (program.label, program.prediction, program.classes) == (None, None, 0)
    twin = Interpreter(program)
    twin.learn(deployment.inputs(samples(1))[0], label=99)
    assert twin.predict(deployment.inputs(samples(1))[0]) == -1


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_is_no_class_is_refused_and_changes_nothing(label: int) -> None:
    twin = Interpreter(lower(small(), "bp"))
    before = twin.tensor("dense_2.weight")
    with pytest.raises(BadInput, match=rf"^labels: got {label} to {label}; allowed: 0 to 3$"):
        twin.learn(samples(1)[0], label)
    assert (twin.tensor("dense_2.weight") == before).all()


def test_a_program_for_inference_refuses_to_learn() -> None:
    with pytest.raises(BadInput, match=r"^learning with '12-8-4': got a program for inference only"):
        Interpreter(lower(small())).learn(samples(1)[0], 0)


def test_a_builder_refuses_two_arrays_of_one_name() -> None:
    build = Builder(small(), "bp", changed("bp"), 0, "class", stochastic=True)
    value = build.constant("c", np.zeros(3, np.float32))
    assert build.constant("c", np.zeros(3, np.float32)) is value
    with pytest.raises(BadInput, match=r"^constant 'c': got two arrays"):
        build.constant("c", np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("kernel", "attrs"),
    [
        ("eff_copy", {}),
        ("eff_copy", {"n_bytes": 4, "more": 1}),
        ("eff_copy", {"n_bytes": 2**31}),
        ("eff_copy", {"n_bytes": 1.5}),
        ("eff_advance", {"period": -1, "factor": 0}),
        ("eff_normalise_f32", {"n": 4, "eps": float("nan")}),
        ("eff_normalise_f32", {"n": 4, "eps": 1e39}),
        ("eff_normalise_f32", {"n": 4, "eps": "small"}),
    ],
)
def test_attributes_that_c_cannot_hold_are_refused(kernel: str, attrs: dict[str, Any]) -> None:
    with pytest.raises(EdgeffError, match=f"^call of {kernel}"):
        check_attrs(registry.kernels[kernel], attrs)


def test_calls_take_as_many_tensors_as_their_kernel() -> None:
    build = Builder(small(), None, None, 0, "class", stochastic=True)
    with pytest.raises(BadInput, match=r"^call of eff_relu_gate_f32: got 1 tensors; allowed: 2$"):
        build.call("eff_relu_gate_f32", [build.x], [], {"n": 12})
