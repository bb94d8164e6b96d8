"""Back-propagation that stores less or changes less: the same bits, a smaller arena, and the step of what it says it changes."""

from __future__ import annotations

from typing import Any

import pytest
from exact_cases import digits
from test_conv_learning import NETWORKS, executions, learner, plain

from edgeff import registry
from edgeff.errors import BadInput, DoesNotFit
from edgeff.ir import Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.train.loop import train
from edgeff.verify.step import compare_step


def deployed(name: str, numeric: Numeric, rule: str = "bp", **changes: Any) -> Deployment:
    network = NETWORKS[name]()
    return deploy(network, digits().x_train.reshape(-1, *network.input_shape), rule=rule, numeric=numeric, changes={"lr": 0.01} | changes)


def chain() -> Network:
    """Six convolutions of the same size: with all activations stored, they are most of the arena."""
    stack = Stack((8, 8, 1))
    for number in range(6):
        stack.conv(f"conv_{number}", 8, (3, 3), norm=False)
    stack.dense("dense", 10)
    stack.add("softmax", Softmax())
    return initialised(stack.network("chain"), 0)


def long(**changes: Any) -> Deployment:
    return deploy(chain(), digits().x_train.reshape(-1, 8, 8, 1), rule="bp", numeric="int8", changes={"lr": 0.01} | changes)


def states(deployment: Deployment, steps: int = 4) -> dict[str, bytes]:
    twin, samples = Interpreter(deployment.program), deployment.inputs(digits().x_train[:steps])
    for sample, label in zip(samples, digits().y_train, strict=False):
        twin.learn(sample, int(label))
    return {tensor.name: twin.tensor(tensor.name).tobytes() for tensor in deployment.program.by_role("variable")}


@pytest.mark.parametrize("rule", ["bp", "fa"])
@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_what_is_computed_again_has_the_same_bits(numeric: Numeric, rule: str) -> None:
    """Through a skip connection, pools, groups and two depthwise outputs a channel."""
    expected = states(deployed("graph", numeric, rule))
    for keep in ("none", "sum,grouped", "conv,largest,depthwise", "least"):
        changed = deployed("graph", numeric, rule, keep=keep)
        assert states(changed) == expected, keep
        assert keep != "sum,grouped" or any(call.stage == "recompute" for call in changed.program.learn)


def test_steps_that_compute_again_are_the_same_on_twin_and_host() -> None:
    executions(deployed("graph", "int8", keep="sum,grouped"), 3, ())


def test_storing_less_takes_a_smaller_arena_for_more_multiplications() -> None:
    everything, least = cost(long().program), cost(long(keep="least").program)
    assert least.memory.arena_bytes <= everything.memory.arena_bytes - 2 * 512
    assert everything.macs("learn") < least.macs("learn") < 1.4 * everything.macs("learn")
    between = (everything.memory.arena_bytes + least.memory.arena_bytes) // 2
    limited = cost(long(arena_limit=between).program)
    assert limited.memory.arena_bytes <= between
    assert limited.macs("learn") <= least.macs("learn")
    assert cost(long(arena_limit=1 << 20).program).macs("learn") == everything.macs("learn")
    refusal = rf"^setting arena_limit: got 1,000 bytes; allowed: at least {least.memory.arena_bytes:,}, .*; train fewer layers"
    with pytest.raises(DoesNotFit, match=refusal):
        long(arena_limit=1000)


@pytest.mark.parametrize("numeric", ["float32", "int8"])
@pytest.mark.parametrize(
    ("changes", "learned"),
    [
        ({"layers": 2}, {"pointwise.weight", "pointwise.bias", "dense.weight", "dense.bias"}),
        ({"parameters": "bias"}, {"conv.bias", "depthwise.bias", "pointwise.bias", "dense.bias"}),
        ({"parameters": "bias", "layers": 1}, {"dense.bias"}),
    ],
)
def test_the_last_layers_or_biases_alone_learn_as_step_says(changes: dict[str, Any], learned: set[str], numeric: Numeric) -> None:
    deployment = learner("bp", numeric, "normalised", more=changes)
    variables = {tensor.name for tensor in deployment.program.by_role("variable")} - {"rate"}
    assert variables == learned
    x, labels = deployment.inputs(digits().x_train[:100]), digits().y_train[:100]
    rows = compare_step(deployment, registry.rules["bp"], x, labels, strict=True, steps=100 if numeric == "int8" else 8)
    assert {row.what.partition(",")[0] for row in rows} == learned
    for row in rows:
        assert row.ok, f"{row.what}: {row.note}"


@pytest.mark.filterwarnings("ignore:bp is below the frozen control")
def test_biases_alone_train_on_the_host() -> None:
    before = initialised(structure("64-16-10", bias=True), 0)
    settings = registry.rules["bp"].settings.changed({"parameters": "bias", "epochs": "1"})
    after = train(digits(), structure("64-16-10", bias=True), "bp", settings, seed=0).network
    for old, new in zip(before.trainable, after.trainable, strict=True):
        assert old.params["weight"].tobytes() == new.params["weight"].tobytes()
        assert old.params["bias"].tobytes() != new.params["bias"].tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": "conv_1,nothing"}, r"^setting keep: got 'nothing'; allowed: all, none, least, or conv_1, conv_2, dense, softmax$"),
        ({"keep": ""}, r"^setting keep: got nothing"),
        ({"keep": "conv_1", "arena_limit": 9}, r"^setting arena_limit: got with keep=conv_1"),
        ({"arena_limit": -1}, r"^setting arena_limit: got -1; allowed: 0 or more$"),
        ({"layers": 4}, r"^setting layers: got 4; allowed: at most 3, the layers with parameters$"),
        ({"parameters": "weights"}, r"^setting parameters: got 'weights'; allowed: all, bias$"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        deploy(plain(), digits().x_train.reshape(-1, 8, 8, 1), rule="bp", numeric="int8", changes=changes)


def test_biases_of_a_network_that_has_none_are_refused() -> None:
    network = initialised(structure("64-16-10"), 0)
    with pytest.raises(BadInput, match=r"^setting parameters: got bias, in layers that have none; allowed: all$"):
        deploy(network, rule="bp", changes={"parameters": "bias"})


def test_copies_are_left_out_where_two_tensors_can_be_one() -> None:
    """What is copied are weights, for a gradient that lies over its delta, and the delta that a convolution adds its gradient onto."""
    program = deployed("graph", "int8").program
    copied = {call.inputs[0] for call in program.learn if call.kernel == "eff_copy"} - {t.name for t in program.by_role("variable")}
    added = {call.outputs[0] for call in program.learn if call.attrs.get("add")}
    assert copied == added
    assert len(added) == 1
