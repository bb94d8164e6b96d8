"""Number formats by layer: an int8 backbone with a tail in float32 or int16 lowers, learns and runs alike in every execution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from small_networks import samples, small

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.simulate import rules_that_fit
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import to_onnx
from edgeff.ir import Array, Headroom, Layer, Network, Numeric, Quant
from edgeff.networks import initialised, structure
from edgeff.ops import forward, parameters
from edgeff.ops.add import Add
from edgeff.ops.dense import Dense
from edgeff.ops.input import Input
from edgeff.ops.scale_input import after, standardising
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.program.quantize import dequantise_array, quantise_array, quantize
from edgeff.rules._groups import composed
from edgeff.verify import verify

DEEP = "12-16-8-4"
TAILS: tuple[Numeric, ...] = ("float32", "int16")


def mixed(
    tail: Numeric, rule: str = "frozen:dense_1,bp", numeric: Numeric = "int8", network: Network | None = None, **changes: float
) -> Deployment:
    network = network or initialised(structure(DEEP, bias=True), 0)
    return deploy(network, samples(40, network), rule=rule, numeric=numeric, tail_numeric=tail, changes=changes)


# ---------------------------------------------------------------- the conversions


def converted(kernel: str, x: Array, dtype: str, **attrs: float) -> list[float]:
    y = np.empty(x.size, dtype)
    registry.kernels[kernel].run(y, x, n=x.size, **attrs)
    found: list[float] = y.tolist()
    return found


def test_int8_to_float32_is_one_product() -> None:
    x = np.array([-128, -3, 0, 127], np.int8)
    assert converted("eff_convert_i8_f32", x, "float32", x_scale=0.5, x_zero=-3) == [-62.5, 0.0, 1.5, 65.0]
    assert converted("eff_convert_i8_f32", x, "float32", x_scale=0.5, x_zero=127) == [-127.5, -65.0, -63.5, 0.0]


def test_int16_to_float32_is_one_product() -> None:
    assert converted("eff_convert_i16_f32", np.array([-32767, 1, 32767], np.int16), "float32", x_scale=0.25) == [-8191.75, 0.25, 8191.75]


def test_int8_to_int16_loses_nothing() -> None:
    x = np.array([-128, 0, 127], np.int8)
    assert converted("eff_convert_i8_i16", x, "int16", x_zero=0) == [-16384, 0, 16256]
    assert converted("eff_convert_i8_i16", x, "int16", x_zero=127) == [-32640, -16256, 0]
    assert converted("eff_convert_i8_i16", x, "int16", x_zero=-128) == [0, 16384, 32640]


def test_floats_go_to_the_nearest_integer_ties_to_even_and_saturate() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 3e19, -3e19, np.inf, -np.inf, np.nan, 1e-45], np.float32)
    whole = [0, 2, 2, 0, -2, 0]
    assert converted("eff_convert_f32_i8", x, "int8", y_scale=1.0, y_zero=0) == [*whole, 127, -128, 127, -128, 0, 0]
    assert converted("eff_convert_f32_i8", x, "int8", y_scale=1.0, y_zero=-128) == [
        -128,
        -126,
        -126,
        -128,
        -128,
        -128,
        127,
        -128,
        127,
        -128,
        -128,
        -128,
    ]
    assert converted("eff_convert_f32_i16", x, "int16", y_scale=1.0) == [*whole, 32767, -32767, 32767, -32767, 0, 0]
    assert converted("eff_convert_f32_i8", x[:1], "int8", y_scale=2.0**-126, y_zero=5) == [127]


def test_floats_become_the_integers_of_the_host() -> None:
    values = np.random.default_rng(0).normal(scale=40.0, size=5000).astype(np.float32)
    for quant in (Quant((0.25,), 17), Quant((0.125,), 0, dtype="int16")):
        zero = {"y_zero": 17} if quant.dtype == "int8" else {}
        made = converted(f"eff_convert_f32_{'i8' if quant.dtype == 'int8' else 'i16'}", values, quant.dtype, y_scale=quant.scale[0], **zero)
        assert made == quantise_array(values, quant).tolist()


# ---------------------------------------------------------------- networks of several formats


@pytest.mark.parametrize("tail", TAILS)
def test_a_layer_between_two_formats_converts(tail: Numeric) -> None:
    network = mixed(tail).network
    assert [(layer.name, layer.numeric) for layer in network] == [
        ("dense_1", "int8"),
        (f"dense_1_{tail}", tail),
        ("dense_2", tail),
        ("dense_3", tail),
        ("softmax", tail),
    ]
    assert network.numerics == ("int8", tail)
    bridge = network[f"dense_1_{tail}"]
    if tail == "int16":
        assert bridge.quant["output"].scale[0] * 128 == network["dense_1"].quant["output"].scale[0]
    else:
        assert bridge.quant == {}
        assert network["dense_2"].params["weight"].dtype == np.float32


def test_each_edge_between_two_formats_has_one_conversion_for_all_its_readers() -> None:
    def dense(name: str, below: str) -> Layer:
        weight = np.random.default_rng(len(name)).normal(size=(4, 4)).astype(np.float32)
        return Layer(name, Dense(activation="relu"), (below,), (4,), {"weight": weight})

    layers = (
        dense("one", "input"),
        dense("two", "one"),
        Layer("sum", Add(), ("one", "two"), (4,)),
        dense("last", "sum"),
    )
    network = Network("skip", (4,), layers)
    x = np.random.default_rng(0).random((20, 4), np.float32)
    made = quantize(network, x, "int8", formats={"two": "float32", "last": "int16"})
    assert [(layer.name, layer.inputs, layer.numeric) for layer in made] == [
        ("one", ("input",), "int8"),
        ("one_float32", ("one",), "float32"),
        ("two", ("one_float32",), "float32"),
        ("two_int8", ("two",), "int8"),
        ("sum", ("one", "two_int8"), "int8"),
        ("sum_int16", ("sum",), "int16"),
        ("last", ("sum_int16",), "int16"),
    ]
    expected = forward(network, parameters(network), x)["last"]
    twin, program = Interpreter(deploy(made, target="input").program), made.layers[-1].quant["output"]
    scores = np.array([twin.line("infer", sample)[0] for sample in quantise_array(x, made.input_quant)])  # type: ignore[arg-type]
    assert np.abs(dequantise_array(scores, program) - expected).max() < 0.03 * expected.max()  # int8 steps of three layers


def test_a_float_backbone_may_have_an_int8_tail() -> None:
    deployment = mixed("int8", numeric="float32")
    assert deployment.network.numerics == ("float32", "int8")
    assert deployment.network.input_quant is None
    kernels = [call.kernel for call in deployment.program.infer]
    assert kernels == ["eff_dense_f32", "eff_convert_f32_i8", "eff_dense_i8", "eff_dense_i8", "eff_softmax_i8", "eff_argmax_i8"]


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("rule", ["bp", "dfa", "pepita", "ff", "frozen", "tdca"])
def test_the_tail_learns_to_the_bit_what_it_learns_alone(tail: Numeric, rule: str) -> None:
    """The oracle is a network of the tail's layers alone, in its one number format, that reads the backbone's features."""
    deployment = mixed(tail, f"frozen:dense_1,{rule}", lr=0.02)  # a rate of its own would follow what each network reads
    group = composed(deployment.program.rule).groups(deployment.network)[-1].network
    alone = deploy(group, rule=rule, changes={"lr": 0.02})
    whole, part = Interpreter(deployment.program), Interpreter(alone.program)
    bridge = f"dense_1_{tail}"
    for number, sample in enumerate(deployment.inputs(samples(12, deployment.network))):
        whole.predict(sample)
        features = whole.tensor(f"infer.{bridge}")
        whole.learn(sample, number % 4)
        part.learn(features.reshape(-1), number % 4)
    learned = {tensor.name for tensor in alone.program.by_role("variable")}
    assert learned == {tensor.name for tensor in deployment.program.by_role("variable")}
    for name in learned:
        assert whole.tensor(name).tobytes() == part.tensor(name).tobytes(), name
    assert any((whole.tensor(name) != deployment.program.tensors[name].data).any() for name in learned - {"rate"})


@pytest.mark.slow
@pytest.mark.parametrize("tail", TAILS)
def test_every_execution_agrees(tail: Numeric) -> None:
    deployment = mixed(tail)
    found = verify(deployment.network, samples(8, deployment.network), rule=deployment.program.rule, steps=5)
    assert found.ok
    assert [row for row in found if row.allowed == 0 and row.differing] == []
    compared = [row.b for row in found if "state after each" in row.what]
    assert len(set(compared)) == 6
    assert {"ONNX Runtime, learning graph", "LiteRT, learning graph", "TFLM, learning graph"} <= set(compared)
    assert [item.name for item in found.skipped] == ["other libraries"]


def test_the_backbone_has_no_room_to_learn_and_the_tail_has_its_own() -> None:
    made, plain = mixed("float32").network, quantize(initialised(structure(DEEP, bias=True), 0), samples(40))
    assert made["dense_1"].quant == plain["dense_1"].quant
    wide = mixed("int16").network["dense_2"].quant["output"].scale[0]
    narrow = quantize(initialised(structure(DEEP, bias=True), 0), samples(40), "int16")["dense_2"].quant["output"].scale[0]
    assert wide == pytest.approx(Headroom(hidden=4.0).hidden * narrow, rel=0.02)  # its own rounding of the features


def test_frozen_weights_stay_in_flash_and_the_arena_holds_the_tail() -> None:
    program = mixed("float32").program
    assert {tensor.name for tensor in program.by_role("variable")} == {
        f"dense_{i}.{name}" for i in (2, 3) for name in ("weight", "bias")
    } | {"rate"}
    assert plan(program).persistent_bytes == 4 * (16 * 8 + 8 + 8 * 4 + 4) + 4 + 4
    assert cost(program).macs("infer") == 12 * 16 + 16 * 8 + 8 * 4


# ---------------------------------------------------------------- refusals


def test_a_tail_needs_a_group_of_layers() -> None:
    for rule, said in ((None, "no rule"), ("bp", "rule bp, which has all layers")):
        with pytest.raises(BadInput, match=f"a number format of its own .*: got {said}; allowed: a composition such as frozen:dense_1,bp"):
            deploy(small(), samples(40), rule=rule, numeric="int8", tail_numeric="float32")


def test_what_no_layer_or_format_is_called_is_refused() -> None:
    with pytest.raises(BadInput, match="number formats: got layer 'head'; allowed: dense_1, dense_2, softmax"):
        quantize(small(), samples(40), formats={"head": "float32"})
    with pytest.raises(BadInput, match="numeric: got 'int4'; allowed: float32, int16, int8"):
        quantize(small(), samples(40), formats={"dense_2": "int4"})  # type: ignore[dict-item]


def test_inputs_and_outputs_have_one_format() -> None:
    network = replace(small(), outputs=("dense_1", "softmax"))
    with pytest.raises(Unsupported, match=r"outputs of network .*: got float32 and int8; allowed: one number format"):
        deploy(quantize(network, samples(40), formats={"dense_1": "float32"}))
    network = initialised(Network("two", (3,), (Layer("other", Input(), (), (3,)), Layer("sum", Add(), ("input", "other"), (3,)))), 0)
    x = np.ones((4, 6), np.float32)
    with pytest.raises(Unsupported, match="input 'other': got float32; allowed: int8, as the first input"):
        quantize(network, x, formats={"other": "float32"})
    with pytest.raises(Unsupported, match="quantising layer 'standardise', scale_input: got the further input 'other'"):
        quantize(after(standardising(np.ones((4, 3), np.float32)), network), x)
    mixed_inputs = replace(quantize(network, x), input_quant=None)
    with pytest.raises(Unsupported, match="inputs of network 'two': got float32 and int8"):
        deploy(mixed_inputs)


def test_a_rule_that_cannot_learn_in_the_tails_format_is_refused() -> None:
    with pytest.raises(Unsupported, match="rule frozen:dense_1,forward_gradient on a device in int16"):
        mixed("int16", "frozen:dense_1,forward_gradient")


def test_a_mixed_network_has_other_formats_than_asked_for() -> None:
    network = mixed("float32").network
    with pytest.raises(BadInput, match=r"numeric: got int8 for a model that is int8\+float32"):
        deploy(network, numeric="int8")
    assert deploy(network, numeric="int8", tail_numeric="float32").network.numerics == ("int8", "float32")


def test_model_files_hold_one_number_format() -> None:
    with pytest.raises(Unsupported, match=r"'dense_1_float32'.* export a network of several to C"):
        to_onnx(mixed("float32").network)


def test_int16_in_other_steps_than_a_128th_of_the_int8_ones_is_refused() -> None:
    network = mixed("int16").network
    bridge = network["dense_1_int16"]
    wrong = replace(bridge, quant={"output": replace(bridge.quant["output"], scale=(0.1,))})
    with pytest.raises(Unsupported, match=r"layer 'dense_1_int16': got int16 in steps of 0\.1; allowed: 1/128 of the int8 step"):
        deploy(network.replacing({bridge.name: wrong}))


def test_advice_on_other_rules_keeps_the_number_formats() -> None:
    deployment = mixed("float32")
    assert "frozen:dense_1,frozen" in rules_that_fit(deployment, load_board("nucleo_l4r5zi"))


# ---------------------------------------------------------------- the command line

OPTIONS = ("--train-layers", "dense_2", "--numeric", "int8", "--tail-numeric", "float32")


def test_the_commands_take_a_tail(cli: CommandLine, folder: Path) -> None:
    cli.ok("train", "digits", "--network", "64-16-10", "--rule", "bp", "--epochs", "12", "-o", folder / "m.onnx")
    learning = cli.ok("cost", "m.onnx", "--rule", "bp", *OPTIONS, "--json").json
    assert [layer["kernel"] for layer in learning["layers"]] == ["eff_dense_i8", "eff_convert_i8_f32", "eff_dense_f32", "eff_softmax_f32"]
    board = ("--board", "nucleo_l4r5zi")
    assert cli.ok("build", "m.onnx", *board, "--rule", "bp", *OPTIONS, "-o", "fw", "--json").json["numeric"] == "int8+float32"
    run = cli.ok("profile", "m.onnx", *board, "--rule", "bp", *OPTIONS, "--json").json
    assert (run["numeric"], run["rule"]) == ("int8+float32", "frozen:dense_1,bp")
    run = cli.ok("simulate", "m.onnx", "digits", *board, "--rule", "bp", *OPTIONS, "--samples", "60", "--json").json
    assert (run["numeric"], run["rule"]) == ("int8+float32", "frozen:dense_1,bp")
    found = cli.ok("verify", "m.onnx", *board, "--rule", "bp", *OPTIONS, "--json").json
    assert (found["ok"], sum(row["differing"] for row in found["comparisons"] if row["allowed"] == 0)) == (True, 0)
    assert any("frozen:dense_1,bp" in row["what"] for row in found["comparisons"])
    exported = cli.ok("export", "m.onnx", "--to", "c", *OPTIONS, "-o", "c", "--json").json
    assert (exported["numeric"], exported["rule"]) == ("int8+float32", None)


def test_a_tail_without_layers_is_refused(cli: CommandLine) -> None:
    ended = cli("cost", "64-16-10", "--rule", "bp", "--numeric", "int8", "--tail-numeric", "float32")
    assert ended.status == 2
    assert "name the layers that learn (--train-layers)" in ended.err


def test_features_of_the_host_deployment_are_those_of_its_c() -> None:
    deployment = mixed("float32")
    x = deployment.inputs(samples(6, deployment.network))
    twin = Interpreter(deployment.program)
    best, scores = HostTarget(deployment.program).predict_many(x)
    for row, scored, sample in zip(best, scores, x, strict=True):
        assert twin.predict(sample) == row
        assert twin.output().tobytes() == scored.tobytes()
