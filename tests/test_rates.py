"""Rates that follow the network, its inputs and the mini-batch; what is given stays; what training says of a run that went wrong."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.errors import BadInput, Diverged, Doubtful
from edgeff.ir import Array, Network
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.lower import lower
from edgeff.rules import Settings, find_rule
from edgeff.rules._rates import power_of, resolved
from edgeff.tasks import Data
from edgeff.train.loop import doubts_of_test, fit, train

HOST = {
    "afa": 0.05,
    "bp": 0.05,
    "cwc": 0.028,
    "dfa": 0.05,
    "fa": 0.05,
    "forward_gradient": 0.005,
    "frozen": 0.1,
    "local_heads": 0.05,
    "mempepita": 0.05,
    "mono_forward": 0.05,
    "pepita": 0.05,
    "phyll": 0.003,
    "scff": 0.003,
    "tdca": 0.02,
    "zeroth_order": 0.002,
}
DEVICE = {
    ("afa", "float32"): 0.04,
    ("afa", "int8"): 0.03,
    ("block_ff", "int8"): 0.01,
    ("bp", "float32"): 0.02,
    ("bp", "int8"): 0.02,
    ("cwc", "float32"): 0.005,
    ("cwc", "int8"): 0.01,
    ("dfa", "int16"): 0.02,
    ("fa", "int8"): 0.02,
    ("ff", "float32"): 0.02,
    ("ff", "int8"): 0.01,
    ("forward_gradient", "float32"): 0.01,
    ("frozen", "float32"): 0.05,
    ("frozen", "int8"): 0.04,
    ("local_heads", "int16"): 0.02,
    ("local_heads", "int8"): 0.006,
    ("mempepita", "int8"): 0.03,
    ("pepita", "float32"): 0.04,
    ("scff", "int8"): 0.005,
    ("tdca", "int8"): 0.02,
    ("zeroth_order", "float32"): 0.001,
}
"""The rates of docs/results, which were chosen for 64-32-10 with digits."""


def digits(seed: int = 0) -> Data:
    found: Data = registry.tasks["digits"].load(seed)
    return found


def prepared(name: str, network: str) -> Network:
    rule = find_rule(name)
    return rule.prepare(initialised(structure(network), 0), rule.settings, 0)


def rate(name: str, network: str, x: Array | None, **changes: Any) -> float:
    rule = find_rule(name)
    return float(resolved(rule, replace(rule.settings, **changes), prepared(name, network), x).lr)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", HOST)
def test_digits_on_64_32_10_have_the_rate_that_was_chosen_for_them(name: str, seed: int) -> None:
    assert rate(name, "64-32-10", digits(seed).x_train) == HOST[name]


@pytest.mark.parametrize(("name", "numeric"), DEVICE)
def test_a_device_has_the_rate_that_was_chosen_for_digits_with_and_without_samples(name: str, numeric: Any) -> None:
    network, seeds = initialised(structure("64-32-10"), 0), range(5)
    found = {deploy(network, digits(seed).x_train, rule=name, numeric=numeric).settings.lr for seed in seeds}
    assert found == {DEVICE[name, numeric]}
    if numeric == "float32":
        assert deploy(network, rule=name).settings.lr == DEVICE[name, numeric]


def test_a_rate_is_the_relative_one_over_the_length_of_what_the_layers_read() -> None:
    rng = np.random.default_rng(0)
    for network, fan_in in (("100-20-5", 120), ("100-20-30-5", 150)):
        for scale in (0.3, 1.0, 10.0):
            x = scale * np.sign(rng.standard_normal((50, 100))).astype(np.float32)
            for batch in (1, 4, 64):
                expected = 0.3597 / (fan_in * scale**2 * (0.25 + 1 / batch))
                # two digits
                assert rate("bp", network, x, batch=batch) == pytest.approx(expected, rel=0.06)


def test_large_samples_weigh_more_than_many_small_ones() -> None:
    x = np.ones((100, 4))
    x[0] *= 10.0
    assert power_of(x) == pytest.approx((99 + 100**2) / (99 + 100))


@pytest.mark.parametrize("x", [np.zeros((3, 4)), np.zeros((0, 4)), np.full((2, 4), np.inf), None])
def test_inputs_without_a_scale_are_taken_for_digits(x: Array | None) -> None:
    assert power_of(x) == pytest.approx(0.2398)


def test_frozen_follows_its_head_and_forward_forward_what_normalisation_leaves() -> None:
    dark, bright = (np.full((9, 784), value, np.float32) for value in (0.1, 1.0))
    assert rate("frozen", "784-32-10", bright) == rate("frozen", "64-32-10", np.ones((9, 64), np.float32))
    assert rate("ff", "784-32-10", dark) == rate("ff", "784-32-10", bright) < rate("ff", "64-32-10", None)


def test_a_given_rate_and_given_epochs_stay() -> None:
    rule = find_rule("bp")
    given = resolved(rule, replace(rule.settings, lr=0.3, decay_epochs=()), prepared("bp", "784-32-10"), None)
    assert (given.lr, given.decay_epochs) == (0.3, ())
    assert rule.settings.changed({"lr": "0.3", "decay_epochs": ""}).decay_epochs == ()
    assert rule.settings.changed({"lr": "0.3"}).changed({"lr": "auto"}).lr is None
    with pytest.raises(BadInput, match="auto, or a value like"):
        rule.settings.changed({"lr": "much"})


def test_the_rate_falls_at_shares_of_the_epochs() -> None:
    rule = find_rule("bp")
    found = resolved(rule, replace(rule.settings, epochs=15), prepared("bp", "64-32-10"), None)
    assert found.decay_epochs == (10, 14)
    assert resolved(rule, rule.settings, prepared("bp", "64-32-10"), None).decay_epochs == (40, 54)
    with pytest.raises(BadInput, match="let training fill it in"):
        Settings().rate(0)


def test_adam_does_not_feel_the_scale_of_inputs() -> None:
    x = np.ones((9, 64), np.float32)
    assert rate("bp", "64-32-10", x, optimiser="adam") == rate("bp", "64-32-10", 100 * x, optimiser="adam") == 2e-3


def test_the_step_of_the_oracle_and_of_the_program_have_one_rate() -> None:
    network, x = initialised(structure("300-16-4"), 0), np.random.default_rng(0).uniform(0, 3, (60, 300)).astype(np.float32)
    deployment = deploy(network, x, rule="bp", numeric="int16")
    assert deployment.settings.lr < 0.02
    lowered = lower(deployment.network, "bp", deployment.settings)
    assert [call.attrs for call in lowered.lines["learn"].calls] == [call.attrs for call in deployment.program.lines["learn"].calls]


@pytest.mark.parametrize("rule", ["bp", "dfa", "pepita", "local_heads", "cwc", "ff"])
@pytest.mark.parametrize(("inputs", "scale"), [(400, 1.0), (64, 4.0), (16, 0.5)])
def test_a_rule_learns_inputs_of_any_count_and_scale_without_another_rate(rule: str, inputs: int, scale: float) -> None:
    rng = np.random.default_rng(1)
    centres = rng.uniform(0, 1, (4, inputs))
    y = rng.integers(0, 4, 600)
    x = (scale * np.clip(centres[y] + rng.normal(0, 0.3, (600, inputs)), 0, None)).astype(np.float32)
    data = Data(x[:400], y[:400], x[400:], y[400:], tuple("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = train(data, structure(f"{inputs}-24-4"), rule, replace(find_rule(rule).settings, epochs=12))
    assert float((trained.scores(data.x_test).argmax(axis=1) == data.y_test).mean()) > 0.8


# ------------------------------------------------------------------ what training says


def said(network: str, rule: str, data: Data | None = None, **changes: Any) -> tuple[str, ...]:
    settings = replace(find_rule(rule).settings, **{"epochs": 3} | changes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        doubts = train(data or digits(), structure(network), rule, settings).doubts
    assert [str(warning.message) for warning in caught if warning.category is Doubtful] == list(doubts)
    return doubts


def test_training_that_goes_well_says_nothing() -> None:
    assert said("64-32-10", "bp") == ()
    assert said("64-32-10", "frozen") == ()


def test_a_rate_that_kills_all_units_is_named() -> None:
    (text,) = said("64-32-10", "bp", lr=8.0)
    assert "at chance on its training samples" in text
    assert "no unit of dense_1 answers to any sample" in text
    assert "lower the rate (--set lr=.., now 8)" in text


def test_a_rate_that_moves_nothing_is_named() -> None:
    (text,) = said("64-32-10", "bp", lr=1e-7, epochs=1)
    assert "at chance" in text
    assert "raise the rate" in text


def test_a_rule_below_the_frozen_control_is_told() -> None:
    (text,) = said("64-128-10", "pepita", lr=0.0005, epochs=1)
    assert "below the frozen control on training samples" in text


def test_labels_without_a_meaning_are_told_and_no_test_sample_is_read() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (3000, 20)).astype(np.float32), rng.integers(0, 4, 3000)
    (text,) = said("20-16-4", "bp", Data(x, y, np.full((1, 20), np.nan, np.float32), y[:0], tuple("abcd")), epochs=1, lr=0.002)
    assert "the inputs say nothing of the classes" in text


def test_a_rule_below_the_control_on_the_test_part_is_told_where_that_is_read() -> None:
    """Training reads none of it: a run that is well there says nothing, one whose hidden units are of no use to others does."""
    trained = train(digits(), structure("64-32-10"), "bp", replace(find_rule("bp").settings, epochs=3))
    assert doubts_of_test(trained, digits()) == ()
    trained.run.params["dense_1"]["weight"][4:] = 0
    with pytest.warns(Doubtful, match="bp is below the frozen control on the test part"):
        (text,) = doubts_of_test(trained, digits())
    assert "it knows its training samples and not others" in text


@pytest.mark.parametrize("rule", ["pepita", "mempepita", "dfa", "afa"])
def test_rules_that_do_not_improve_filters_say_so_before_they_train(rule: str) -> None:
    network = initialised(structure("cnn_small", input_shape=(8, 8, 1), classes=10), 0)
    assert "has not been seen to learn more than frozen random filters do" in find_rule(rule).caution(network)
    assert find_rule(rule).caution(initialised(structure("64-32-10"), 0)) == ""
    assert find_rule(f"frozen:{network.trainable[-2].name},{rule}").caution(network) == ""


def test_a_run_that_diverges_begins_again_where_that_is_asked_for() -> None:
    settings = find_rule("pepita").settings.changed({"lr": "0.4", "feedback_scale": "0.5", "epochs": "4"})
    with pytest.raises(Diverged):
        train(digits(), structure("64-32-10"), "pepita", settings)
    with pytest.warns(Doubtful, match="begun again at a rate of"):
        trained = train(digits(), structure("64-32-10"), "pepita", settings, retries=3)
    rate_now = trained.network.metadata["settings"]["lr"]
    assert rate_now == trained.run.settings.lr < 0.4
    again = fit(
        initialised(structure("64-32-10"), 0),
        "pepita",
        digits().x_train,
        digits().targets(digits().y_train),
        replace(settings, lr=rate_now),
    )
    assert np.array_equal(again.run.params["dense_1"]["weight"], trained.run.params["dense_1"]["weight"])
