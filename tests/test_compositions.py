"""Several rules in one network: groups of layers by name, their directions and their programs, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exact_cases import digits

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.networks import initialised, structure
from edgeff.ops import forward, parameters
from edgeff.ops.add import Add
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.program.deploy import deploy
from edgeff.rules import Run, find_rule
from edgeff.rules._groups import split
from edgeff.train.loop import fit, train


def started(name: str, network: Network) -> Run:
    """A run of the rule ``name`` at its first step, in float64."""
    rule = find_rule(name)
    run = Run(network, parameters(network, np.float64), rule.settings, np.random.default_rng(0), seed=3, lr=0.05)
    rule.start(run)
    return run


def batch() -> tuple[Array, Array]:
    return digits().x_train[:7].astype(np.float64), digits().targets(digits().y_train[:7]).astype(np.float64)


@pytest.mark.parametrize("tail", ["bp", "dfa"])
def test_the_last_rule_learns_from_the_frozen_layers_output_as_from_an_input(tail: str) -> None:
    network = initialised(structure("64-24-16-10", bias=True), 0)
    run, (x, t) = started(f"frozen:dense_1,{tail}", network), batch()
    _, _, above = split(network, "dense_1")
    alone = Run(above, run.params, find_rule(tail).settings, np.random.default_rng(0), seed=3)
    find_rule(tail).start(alone)
    expected = find_rule(tail).step(alone, forward(network, run.params, x)["dense_1"], t)
    found = find_rule(run_name := f"frozen:dense_1,{tail}").step(run, x, t)
    assert found.keys() == expected.keys() == {"dense_2", "dense_3"}, run_name
    for layer, values in expected.items():
        for name, value in values.items():
            assert np.array_equal(found[layer][name], value)


def test_training_leaves_the_frozen_layers_as_they_were() -> None:
    before = initialised(structure("64-24-16-10"), 0)
    data = digits()
    settings = replace(find_rule("bp").settings, epochs=2)
    after = fit(before, "frozen:dense_1,bp", data.x_train, data.targets(data.y_train), settings).network
    assert np.array_equal(before["dense_1"].params["weight"], after["dense_1"].params["weight"])
    assert not np.array_equal(before["dense_2"].params["weight"], after["dense_2"].params["weight"])


def test_its_program_keeps_the_frozen_weights_in_flash() -> None:
    network = initialised(structure("64-24-16-10"), 0)
    program = deploy(network, rule="frozen:dense_1,pepita").program
    assert {tensor.name for tensor in program.by_role("variable")} == {"dense_2.weight", "dense_3.weight", "rate"}
    assert program.rule == "frozen:dense_1,pepita"


def test_a_rule_that_changes_the_structure_can_stand_above_a_frozen_layer() -> None:
    settings = replace(find_rule("ff").settings, epochs=1)
    trained = train(digits(), structure("64-24-16-10"), "frozen:dense_1,ff", settings)
    assert trained.scores(digits().x_test).shape == (360, 10)
    assert trained.network["label"].inputs == ("dense_1",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pepita:dense_1,bp", "rule pepita below another rule: got a rule that waits for the network's error; allowed: "),
        ("frozen:dense_1", "composition of rules: got 'frozen:dense_1'; allowed: RULE:LAYER,..,RULE such as frozen:conv_2,pepita"),
        ("frozen,bp", "composition of rules: got 'frozen,bp'"),
        ("frozen:dense_1,magic", "unknown rule: got 'magic'; allowed: "),
    ],
)
def test_a_composition_that_makes_no_sense_is_refused(name: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        find_rule(name)
    assert str(caught.value).startswith(said)


def test_a_cut_must_be_a_layer_that_all_later_ones_read_alone() -> None:
    def dense(name: str, below: str) -> Layer:
        return Layer(name, Dense(activation="relu"), (below,), (4,), {"weight": np.eye(4, dtype=np.float32)})

    layers = (dense("one", "input"), dense("two", "one"), Layer("sum", Add(), ("one", "two"), (4,)))
    network = Network("skip", (4,), (*layers, dense("last", "sum"), Layer("softmax", Softmax(), ("last",), (4,))))
    assert [layer.name for layer in split(network, "sum")[2]] == ["last", "softmax"]
    for cut, said in (("two", "got later layers that read one"), ("softmax", "allowed: one, two, sum, last"), ("three", "got 'three'")):
        with pytest.raises(BadInput, match=said):
            split(network, cut)


def test_a_side_branch_goes_with_the_group_that_it_reads() -> None:
    network = initialised(structure("64-24-16-10"), 0)
    branch = Layer("side", Dense(), ("dense_1",), (10,), {"weight": np.zeros((10, 24), np.float32)})
    first, *others = network.layers
    below, _, above = split(replace(network, layers=(first, branch, *others)), "dense_1")
    assert [layer.name for layer in below] == ["dense_1", "side"]
    assert [layer.name for layer in above] == ["dense_2", "dense_3", "softmax"]


def test_what_is_deployed_without_the_rule_leaves_side_branches_out() -> None:
    network = initialised(structure("64-24-10"), 0)
    branch = Layer("side", Dense(), ("dense_1",), (10,), {"weight": np.zeros((10, 24), np.float32)})
    with_branch = replace(network, layers=(network.layers[0], branch, *network.layers[1:]))
    assert deploy(with_branch).program.infer == deploy(network).program.infer
    assert deploy(with_branch, rule="pepita").program.learn == deploy(network, rule="pepita").program.learn


def test_a_rule_of_the_host_alone_says_why_it_does_not_run_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_rule("dfa"), "numerics", ("float32",), raising=False)
    monkeypatch.setattr(find_rule("dfa"), "why_not", "a made-up reason", raising=False)
    with pytest.raises(Unsupported, match="rule dfa on a device in int8: got a made-up reason; allowed: float32"):
        deploy(initialised(structure("64-24-10"), 0), digits().x_train, rule="dfa", numeric="int8")
