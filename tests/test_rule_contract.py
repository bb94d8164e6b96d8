"""What every registered rule keeps: its two readings agree, it is deterministic, it keeps shapes, it learns.

Controls: shuffled labels, and frozen hidden layers. What concerns a device is asked in the numerics that a rule is lowered in.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from exact_cases import digits, learner

from edgeff import registry
from edgeff.device.targets.host import HostTarget
from edgeff.ir import NUMERICS, Array, Numeric, Program
from edgeff.networks import initialised, structure
from edgeff.ops import Params, parameters
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.rules import Rule, Run, find_rule
from edgeff.train.loop import accuracy, train

RULES = sorted(registry.rules)
COMPOSED = ["frozen:dense_1,bp", "frozen:dense_1,pepita"]


def lowered(*numerics: Numeric) -> list[str]:
    """The rules, and some compositions, whose step runs on a device in all of ``numerics``."""
    return [name for name in RULES + COMPOSED if set(numerics) <= set(find_rule(name).numerics)]


STEPS = 25
# Of the largest change of a tensor. The twin computes in float32: a difference of two activations, such as PEPITA's, keeps four digits.
TOLERANCE = 2e-3


def device_run(rule: Rule, name: str, bias: bool) -> tuple[Run, Program]:
    """The rule's NumPy reading in float64 and its lowered program, on one network with the settings of a device."""
    network = rule.prepare(initialised(structure(name, bias=bias), 0), rule.settings, 0)
    settings = rule.device_settings("float32")
    run = Run(network, parameters(network, np.float64), settings, np.random.default_rng(0), seed=3)
    rule.start(run)
    return run, lower(network, rule.name, settings, seed=3)


def values_of(program: Program, twin: Interpreter, params: Params) -> Params:
    """``params`` with those that the program has at the twin's present value, in float64."""
    found = copy.deepcopy(params)
    for layer, values in found.items():
        for name in values:
            if f"{layer}.{name}" in program.tensors:
                values[name] = twin.tensor(f"{layer}.{name}").astype(np.float64)
    return found


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", ["64-32-10", "64-16-12-10"])
@pytest.mark.parametrize("rule_name", lowered("float32"))
def test_step_is_what_lower_says(rule_name: str, name: str, bias: bool) -> None:
    """One step from the same parameters, sample after sample along the way the twin goes."""
    rule = find_rule(rule_name)
    run, program = device_run(rule, name, bias)
    twin = Interpreter(program)
    written = {t.name for t in program.by_role("variable")} - {"rate"}
    assert written
    moved = set()
    for number in range(STEPS):
        run.params, run.steps = values_of(program, twin, run.params), number
        x, label = digits().x_train[number], int(digits().y_train[number])
        direction = rule.step(run, x[None].astype(np.float64), np.eye(10)[[label]])
        twin.learn(x, label)
        after = values_of(program, twin, run.params)
        for layer, values in run.params.items():
            for key, before in values.items():
                if f"{layer}.{key}" not in written:
                    continue
                expected = -run.settings.lr * direction.get(layer, {}).get(key, np.zeros(1))
                change = after[layer][key] - before
                largest = np.abs(expected).max()
                # float32 weights cannot move by less than their own rounding.
                error = np.abs(change - expected).max()
                assert error <= TOLERANCE * largest + 2.0**-23 * np.abs(before).max(), f"step {number}, {layer}.{key}"
                if largest > 1e-5:
                    moved.add(f"{layer}.{key}")
    assert moved == written


@pytest.mark.parametrize("rule_name", lowered("float32"))
def test_what_the_program_does_not_learn_does_not_predict(rule_name: str) -> None:
    """A parameter that ``step`` moves and the program does not (Forward-Forward's head where it probes) has no say in the rule's scores."""
    rule = find_rule(rule_name)
    run, program = device_run(rule, "64-32-10", bias=True)
    written = {t.name for t in program.by_role("variable")}
    x = digits().x_train[:20].astype(np.float64)
    direction = rule.step(run, x, np.eye(10)[digits().y_train[:20]])
    for layer, values in direction.items():
        for key in values:
            if f"{layer}.{key}" not in written:
                before = rule.scores(run, x)
                run.params[layer][key] = run.params[layer][key] + 1.0
                assert np.array_equal(before, rule.scores(run, x)), f"{layer}.{key}"


@pytest.mark.parametrize("rule_name", lowered("float32"))
def test_the_programs_scores_are_the_rules(rule_name: str) -> None:
    rule = find_rule(rule_name)
    run, program = device_run(rule, "64-32-10", bias=True)
    twin, x = Interpreter(program), digits().x_test[:40]
    made = []
    for sample in x:
        twin.predict(sample)
        made.append(twin.output())
    expected = rule.scores(run, x.astype(np.float64))
    assert np.abs(np.array(made) - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())  # float32 sums of 64 terms


@pytest.mark.parametrize("rule_name", RULES)
def test_a_step_is_deterministic_and_keeps_shapes_and_parameters(rule_name: str) -> None:
    rule = find_rule(rule_name)
    network = rule.prepare(initialised(structure("64-16-12-10", bias=True), 0), rule.settings, 0)
    run = Run(network, parameters(network), rule.settings, np.random.default_rng(0), seed=3)
    rule.start(run)
    kept = copy.deepcopy(run.params)
    x, t = digits().x_train[:9], digits().targets(digits().y_train[:9])
    directions = []
    for _ in range(2):
        run.rng = np.random.default_rng(7)
        directions.append(rule.step(run, x.copy(), t.copy()))
    for layer, values in directions[0].items():
        for name, value in values.items():
            assert value.shape == network[layer].params[name].shape
            assert np.isfinite(value).all()
            assert value.tobytes() == directions[1][layer][name].tobytes()
    for layer, parameter in kept.items():
        for name, value in parameter.items():
            assert value.tobytes() == run.params[layer][name].tobytes()
    assert directions[0].keys() <= {layer.name for layer in network.trainable}


@pytest.mark.parametrize("rule_name", lowered("float32"))
def test_lowering_is_deterministic(rule_name: str) -> None:
    rule = find_rule(rule_name)
    _, first = device_run(rule, "64-16-10", bias=True)
    _, second = device_run(rule, "64-16-10", bias=True)
    assert first.infer == second.infer
    assert first.learn == second.learn
    assert list(first.tensors) == list(second.tensors)


@pytest.mark.parametrize("rule_name", RULES)
def test_it_learns_on_the_host_and_shuffled_labels_do_not(rule_name: str) -> None:
    rule = find_rule(rule_name)
    data, settings = digits(), replace(rule.settings, epochs=8)
    shuffled = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    learned, control = (train(task, structure("64-32-10"), rule_name, settings).scores(data.x_test) for task in (data, shuffled))
    assert accuracy(learned, data.y_test) > 0.6
    assert accuracy(control, data.y_test) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("rule_name", RULES)
def test_it_beats_frozen_hidden_layers(rule_name: str) -> None:
    """With its own settings on 64-32-10, over the same splits and initial weights; or the rule says why it need not."""
    if not find_rule(rule_name).no_margin:
        assert over_seeds(rule_name) > over_seeds("frozen") + 0.03


@cache
def over_seeds(rule_name: str) -> float:
    """The mean test accuracy of two seeds on 64-32-10."""
    loaded = [registry.tasks["digits"].load(seed) for seed in range(2)]
    trained = [train(data, structure("64-32-10"), rule_name, seed=seed) for seed, data in enumerate(loaded)]
    return sum(accuracy(each.scores(data.x_test), data.y_test) for each, data in zip(trained, loaded, strict=True)) / 2


@pytest.mark.parametrize("rule_name", RULES)
def test_training_is_reproducible_by_its_seed(rule_name: str) -> None:
    settings = replace(find_rule(rule_name).settings, epochs=1)

    def weights(seed: int) -> bytes:
        trained = train(digits(), structure("64-12-10"), rule_name, settings, seed=seed)
        return b"".join(layer.params["weight"].tobytes() for layer in trained.network.trainable)

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


def right(target: HostTarget, x: Array) -> float:
    return float((target.predict_many(x)[0] == digits().y_test).mean())


@pytest.mark.parametrize(("rule_name", "numeric"), [(name, numeric) for numeric in NUMERICS for name in lowered(numeric)])
def test_its_c_learns_one_sample_at_a_time_and_shuffled_labels_do_not(rule_name: str, numeric: Numeric) -> None:
    deployment = learner(rule_name, numeric)
    target = HostTarget(deployment.program)
    x, unseen, labels = deployment.inputs(digits().x_train), deployment.inputs(digits().x_test), digits().y_train
    before, found = right(target, unseen), []
    for y in (labels, np.random.default_rng(0).permutation(labels)):
        target.init()
        for epoch in range(5):
            target.learn_many(x, y, np.random.default_rng(epoch).permutation(len(x)))
        found.append(right(target, unseen))
    learned, control = found
    assert learned > 0.6
    assert learned > before + 0.3
    assert control < 0.3


@pytest.mark.parametrize("rule_name", RULES)
def test_a_rule_says_what_it_is_and_where_it_comes_from(rule_name: str) -> None:
    rule = find_rule(rule_name)
    assert rule.name == rule_name
    assert rule.summary
    assert rule.source
    assert type(rule).__doc__
    assert bool(rule.why_not) == (set(rule.numerics) != set(NUMERICS))
    for numeric in NUMERICS:
        settings = rule.device_settings(numeric)
        assert (settings.batch, settings.momentum, settings.dropout) == (1, 0.0, 0.0)
