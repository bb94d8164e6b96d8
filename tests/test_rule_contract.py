"""What every registered rule keeps, by the checks of ``edgeff.contracts``; and that those see a rule whose two readings disagree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.contracts import check_rule, rules
from edgeff.contracts.check import Check
from edgeff.errors import CheckFailed
from edgeff.ir import NUMERICS, Array, Numeric
from edgeff.program.deploy import deploy
from edgeff.rules import Gradients, Rule, Run, find_rule
from edgeff.rules._building import RuleBuilder
from edgeff.rules.dfa import DirectFeedbackAlignment
from edgeff.verify import Comparison
from edgeff.verify.step import compare_step

RULES = sorted(registry.rules)
COMPOSED = ["frozen:dense_1,bp", "frozen:dense_1,pepita", "cwc:dense_1,dfa", "local_heads:dense_1,bp"]
QUICK = [check for check in rules.CHECKS if not check.slow]
RATHER_SLOW = (
    "it learns on the host, and not from shuffled labels",
    "its training is reproducible by its seed",
    "step is what its program does through convolutions in int8",
)


@pytest.mark.parametrize(
    ("rule_name", "check"),
    [
        pytest.param(name, check, id=f"{name}, {check.name}", marks=[pytest.mark.slow] if check.name in RATHER_SLOW else [])
        for name in RULES
        for check in QUICK
        if check.applies(find_rule(name))
    ],
)
def test_a_rule_keeps_its_contract(rule_name: str, check: Check[Rule]) -> None:
    assert check.failure(find_rule(rule_name)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("rule_name", [name for name in RULES if not find_rule(name).no_margin])
def test_it_beats_frozen_hidden_layers(rule_name: str) -> None:
    rules.beats_frozen_layers(find_rule(rule_name))


@pytest.mark.parametrize("rule_name", COMPOSED)
def test_a_composition_learns_as_its_rules_say(rule_name: str) -> None:
    rule = find_rule(rule_name)
    for numeric in rule.numerics:
        rules.agrees(numeric, rule)
        rules.learns_in_c(numeric, rule)


@pytest.mark.parametrize(("numeric", "tail"), [("int8", "float32"), ("int8", "int16"), ("int16", "float32")])
@pytest.mark.parametrize("rule_name", ["frozen:dense_1,bp", "frozen:dense_1,pepita"])
def test_a_tail_in_another_number_format_learns_as_its_rule_says(rule_name: str, numeric: Numeric, tail: Numeric) -> None:
    deployment = deploy(rules.dense(), rules.digits().x_train, rule=rule_name, numeric=numeric, tail_numeric=tail, seed=3)
    x, labels = deployment.inputs(rules.digits().x_train[:60]), rules.digits().y_train[:60]
    rows = compare_step(deployment, find_rule(rule_name), x, labels, strict=True, steps=60)
    assert {row.what.partition(",")[0] for row in rows} == {f"dense_{n}.{name}" for n in (2, 3) for name in ("weight", "bias")}
    assert not wrong(rows)


@pytest.mark.parametrize("numeric", NUMERICS)
@pytest.mark.parametrize("rule_name", ["pepita", "mempepita"])
def test_longer_hidden_steps_are_those_of_the_program(rule_name: str, numeric: Numeric) -> None:
    deployment = deploy(rules.dense(), rules.digits().x_train, rule=rule_name, numeric=numeric, changes={"hidden_inputs": 16}, seed=3)
    x, labels = deployment.inputs(rules.digits().x_train[:60]), rules.digits().y_train[:60]
    assert not wrong(compare_step(deployment, find_rule(rule_name), x, labels, strict=True, steps=60))


# ---------------------------------------------------------------- what the comparison of step and program sees


def compared(rule: Rule, numeric: Numeric, *, strict: bool = True, steps: int = 40, **changes: Any) -> list[Comparison]:
    deployment = rules.deployed(rule, numeric, rules.dense(), **changes)
    x, labels = deployment.inputs(rules.digits().x_train[:steps]), rules.digits().y_train[:steps]
    return compare_step(deployment, rule, x, labels, strict=strict, steps=steps)


def wrong(rows: list[Comparison]) -> dict[str, str]:
    """The tensors whose comparison fails, and what is said of them."""
    return {row.what.partition(",")[0]: row.note for row in rows if not row.ok}


def spoil(monkeypatch: pytest.MonkeyPatch, kernel: str, change: Callable[..., None]) -> None:
    """Makes ``change(run, *arguments, **attrs)`` the twin of a kernel."""
    honest = registry.kernels[kernel]
    monkeypatch.setitem(registry.kernels._items, kernel, replace(honest, run=lambda *a, **attrs: change(honest.run, *a, **attrs)))


def times(factor: float) -> Callable[..., None]:
    """A twin that changes its first output by ``factor`` times what it should."""

    def change(run: Callable[..., None], output: Array, *inputs: Array, **attrs: Any) -> None:
        before = output.astype(np.float64)
        run(output, *inputs, **attrs)
        after = before + factor * (output - before)
        limit = {"int8": 127, "int16": 32767, "int32": 2**30, "float32": np.inf}[str(output.dtype)]
        output[:] = np.clip(np.rint(after) if output.dtype != np.float32 else after, -limit, limit)

    return change


@pytest.mark.parametrize("factor", [2.0, 0.5, -1.0, 4.0, 1.2])
@pytest.mark.parametrize("numeric", NUMERICS)
def test_a_weight_step_of_another_size_is_seen(monkeypatch: pytest.MonkeyPatch, numeric: Numeric, factor: float) -> None:
    suffix = {"float32": "f32", "int16": "i16", "int8": "i8"}[numeric]
    assert not wrong(compared(find_rule("bp"), numeric))
    spoil(monkeypatch, f"eff_dense_update_{suffix}", times(factor))
    rows = compared(find_rule("bp"), numeric)
    assert wrong(rows).keys() == {f"dense_{n}.weight" for n in (1, 2, 3)}
    if numeric != "float32" and factor < 4.0:
        ratios = [float(note.removeprefix("it changes ").partition(" ")[0]) for note in wrong(rows).values()]
        assert ratios == pytest.approx([factor] * 3, rel=0.1)  # rounding


@pytest.mark.parametrize("factor", [4.0, 8.0, 0.5, 0.9])
@pytest.mark.parametrize("numeric", ["int8", "int16"])
def test_a_bias_step_of_another_size_is_seen(monkeypatch: pytest.MonkeyPatch, numeric: Numeric, factor: float) -> None:
    spoil(monkeypatch, "eff_bias_update_i32", times(factor))
    assert wrong(compared(find_rule("dfa"), numeric, steps=100)).keys() >= {f"dense_{n}.bias" for n in (1, 2, 3)}


@pytest.mark.parametrize("numeric", ["int8", "int16"])
def test_a_row_and_a_column_that_stand_still_are_named(monkeypatch: pytest.MonkeyPatch, numeric: Numeric) -> None:
    def change(run: Callable[..., None], w: Array, delta: Array, *inputs: Array, **attrs: Any) -> None:
        before = w.copy().reshape(len(delta), -1)
        run(w, delta, *inputs, **attrs)
        if len(delta) == 10:
            w.reshape(before.shape)[5] = before[5]
        if len(delta) == 32:
            w.reshape(before.shape)[:, 36] = before[:, 36]

    spoil(monkeypatch, f"eff_dense_update_{'i8' if numeric == 'int8' else 'i16'}", change)
    assert wrong(compared(find_rule("bp"), numeric, steps=200)) == {
        "dense_1.weight": "[:, 36] changes 0 times as much as step says",
        "dense_3.weight": "[5, :] changes 0 times as much as step says",
    }


def test_a_parameter_that_only_step_moves_is_seen() -> None:
    class Deaf(DirectFeedbackAlignment):
        name = "dfa"

        def lower(self, build: RuleBuilder) -> None:
            h = build.run(build.x)
            build.update(build.network.trainable[-1], build.error(h[build.layers[-1].name]), h[build.network.trainable[-1].inputs[0]])

    rule = Deaf()
    registry.rules._items["dfa"], honest = rule, registry.rules["dfa"]
    try:
        rows = compared(rule, "float32")
    finally:
        registry.rules._items["dfa"] = honest
    assert {row.what: row.note for row in rows if not row.ok} == {
        f"change of dense_{n}.{name}": "step changes it, the program does not" for n in (1, 2) for name in ("bias", "weight")
    }


class HalfError(DirectFeedbackAlignment):
    """A copy of dfa whose ``step`` halves the error of the hidden layers."""

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        gradients = super().step(run, x, t)
        return {
            layer: own if layer == run.last.name else {name: 0.5 * value for name, value in own.items()} for layer, own in gradients.items()
        }


@pytest.fixture
def half_error(monkeypatch: pytest.MonkeyPatch) -> Rule:
    rule = HalfError()
    rule.name = "half_error"
    list(registry.rules)
    monkeypatch.setitem(registry.rules._items, "half_error", rule)
    return rule


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("numeric", NUMERICS)
def test_a_halved_error_is_seen(half_error: Rule, numeric: Numeric, strict: bool) -> None:
    assert wrong(compared(half_error, numeric, strict=strict)).keys() == {
        f"dense_{n}.{name}" for n in (1, 2) for name in ("weight", "bias")
    }


def test_the_contract_names_what_disagrees(half_error: Rule) -> None:
    with pytest.raises(
        CheckFailed, match=r"^rule half_error: [6-9] of 19 checks failed; step of rule half_error against its program in "
    ) as raised:
        check_rule(half_error)
    assert "dense_1.weight, change in each of 25 steps (relative): got in step " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_rate_that_decays_one_step_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = find_rule("bp")
    rules.decays_its_rate(rule)

    def early(run: Callable[..., None], step: Array, rate: Array, **attrs: Any) -> None:
        run(step, rate, period=0, factor=0)
        if attrs["period"] and (int(step[0]) + 1) % attrs["period"] == 0:
            rate[0] //= 2

    spoil(monkeypatch, "eff_advance", early)
    with pytest.raises(CheckFailed, match=r"got in step 3 it changes by up to "):
        rules.decays_its_rate(rule)


def test_a_step_that_vanishes_in_integers_is_excused_with_its_reason_and_never_in_the_contract() -> None:
    """A modulation far below one step of the input: both passes are the same."""
    rows = compared(find_rule("pepita"), "int8", strict=False, feedback_scale=0.01)
    hidden = [row for row in rows if row.what.startswith("dense_1.")]
    assert [(row.ok, row.allowed) for row in hidden] == [(True, None)] * 2
    assert all("the input is modulated by 0.43 of its steps" in row.note for row in hidden)
    assert wrong(compared(find_rule("pepita"), "int8", feedback_scale=0.01)).keys() >= {"dense_1.weight", "dense_1.bias"}
