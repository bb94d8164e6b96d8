"""Settings are chosen without the test part, with one budget for all rules, and used by training."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from scipy import stats

from edgeff import registry
from edgeff.bench.statistics import paired_difference, summary
from edgeff.bench.tuning import Search, candidates, choose, halved, starting_settings, validation_parts
from edgeff.contracts.rules import digits
from edgeff.formats import from_onnx
from edgeff.networks import structure
from edgeff.rules import find_rule
from edgeff.train.loop import train

SMALL = Search(epochs=3, candidates=9, splits=1)
NETWORK = "64-4-10"
DIGITS = registry.tasks["digits"]
ARGUMENTS = ("tune", NETWORK, "digits", "--rule", "frozen", "--no-controls", "--epochs", 3, "--candidates", 9, "--splits", 1, "--seeds", 2)


def test_halving_gives_all_epochs_to_the_best_alone() -> None:
    """Candidate 5 is best at every length, 4 second; the count of trials by length is that of the plan."""
    rounds: Counter[int] = Counter()

    def score(number: int, share: int, split: int) -> float:
        rounds[share] += 1
        return share - abs(number - 5.1) + split

    assert halved(Search(candidates=12, splits=2), score) == 5
    assert rounds == {1: 24, 3: 8, 9: 4}
    assert Search(candidates=12, splits=2, epochs=18).budget_epochs == 24 * 2 + 8 * 6 + 4 * 18


def test_a_candidate_that_diverges_is_never_chosen() -> None:
    assert halved(Search(candidates=9, splits=1), lambda number, _share, _split: -1e30 if number < 8 else 0.01) == 8


@pytest.mark.parametrize("rule", ["bp", "pepita"])
def test_a_search_reads_no_test_sample_and_keeps_to_its_budget(rule: str) -> None:
    data, spent = digits(), 0
    unread = replace(data, x_test=np.full((1, 64), np.nan, np.float32), y_test=np.array([0]))

    def count(epochs: int) -> None:
        nonlocal spent
        spent += epochs

    chosen = choose(unread, structure(NETWORK), NETWORK, rule, SMALL, DIGITS, progress=count)
    assert spent == SMALL.budget_epochs
    assert choose(data, structure(NETWORK), NETWORK, rule, SMALL, DIGITS) == chosen


def test_a_rate_far_off_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-propagation at a thousandth of its rate learns nothing in three epochs; the search leaves it."""
    bp = find_rule("bp")
    monkeypatch.setattr(type(bp), "settings", replace(bp.settings, relative_lr=bp.settings.relative_lr / 1000))
    chosen = choose(digits(), structure("64-16-10"), "64-16-10", "bp", replace(SMALL, epochs=9), DIGITS)
    assert chosen.changes["lr"] > 4 * chosen.start["lr"]


def test_the_validation_part_is_of_other_groups_where_the_test_part_is() -> None:
    groups = np.repeat(np.arange(10), 12)
    data = replace(digits(), x_train=digits().x_train[:120], y_train=digits().y_train[:120], groups_train=groups)
    for kept, held_out in validation_parts(data, Search(splits=3)):
        assert not set(groups[kept]) & set(groups[held_out])
        assert sorted([*kept, *held_out]) == [*range(120)]
    ((kept, held_out),) = validation_parts(digits(), SMALL)
    assert not set(kept) & set(held_out)
    assert set(Counter(digits().y_train[held_out]).values()) <= set(range(27, 31))  # a fifth of each digit's 142 to 147


@pytest.mark.parametrize("rule", sorted(registry.rules))
def test_every_rule_says_what_is_searched_and_takes_all_candidates(rule: str) -> None:
    start = starting_settings(digits(), structure("64-32-10"), "64-32-10", rule, Search())
    assert 1 <= len(start.searched) <= 3
    first, *rest = [replace(start, **changes) for changes in candidates(start, Search(candidates=40))]
    assert first == start
    for name, factor in start.searched.items():
        ratios = [getattr(each, name) / getattr(start, name) for each in rest]
        assert 1 / factor <= min(ratios) * 1.01 < 2 / factor  # rounded to three digits
        assert factor / 2 < max(ratios) <= factor * 1.01


def test_an_interrupted_search_goes_on_and_ends_as_if_it_had_not_been(
    cli: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cli.ok(*ARGUMENTS, "-o", "whole.json", "--json").json
    calls = 0

    def stops(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr("edgeff.bench.tuning.train", stops)
    assert cli(*ARGUMENTS, "-o", "part.json").status == 130
    assert len(json.loads((folder / "part.json").read_text())["tried"]) == 7
    calls = 8
    ended = cli.ok(*ARGUMENTS, "-o", "part.json", "--json")
    assert ended.json == whole
    assert "7 trials were already in part.json" in ended.err
    assert calls == 8 + len(whole["tried"]) - 7 + 2  # the trials that were missing, and two seeds on the test part
    assert (folder / "part.json").read_text() == (folder / "whole.json").read_text()


@pytest.mark.usefixtures("folder")
def test_train_takes_what_was_chosen(cli: CommandLine) -> None:
    chosen = cli.ok(*ARGUMENTS, "-o", "t.json", "--json").json["rules"]["frozen"]["chosen"]
    command = ("train", "digits", "--network", NETWORK, "--rule", "frozen", "--settings-from", "t.json", "-o", "m.onnx", "--json")
    trained = cli.ok(*command).json
    assert (trained["lr"], trained["epochs"]) == (chosen["lr"], 3)
    assert trained["chosen_by"].items() >= {"by": "edgeff tune", "candidates": 9, "budget_epochs": 15}.items()
    assert from_onnx(Path("m.onnx")).metadata["chosen_by"] == trained["chosen_by"]
    assert cli.ok(*command, "--set", "lr=0.001").json["lr"] == 0.001
    assert cli.ok(*ARGUMENTS, "-o", "t.json").out.splitlines()[0].split()[:2] == ["rule", "validation"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("digits", "--network", "64-5-10", "--rule", "ff"), "got 64-5-10; allowed: 64-4-10"),
        (("digits", "--network", NETWORK, "--rule", "bp"), "none for bp; allowed: ff"),
    ],
)
def test_settings_of_something_else_are_refused(cli: CommandLine, folder: Path, change: tuple[str, ...], message: str) -> None:
    record = {"chosen": {"lr": 0.1}, "start": {"lr": 0.2}, "validation": 0.5}
    search = {"epochs": 3, "candidates": 9, "splits": 1, "seed": 0, "version": "1", "metric": "accuracy", "validation_metric": "accuracy"}
    text = {"schema": 1, "task": "digits", "network": NETWORK, "bias": False, "budget_epochs": 9, "rules": {"ff": record}} | search
    (folder / "t.json").write_text(json.dumps(text))
    ended = cli("train", *change, "--settings-from", "t.json", "-o", "m.onnx")
    assert ended.status == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1
    (folder / "t.json").write_text(json.dumps(text | {"rules": {"ff": record | {"validation": "high"}}}))
    assert "rules.ff.validation" in cli("train", *change, "--settings-from", "t.json", "-o", "m.onnx").err


@pytest.mark.usefixtures("folder")
def test_a_file_is_not_taken_for_another_search(cli: CommandLine) -> None:
    cli.ok(*ARGUMENTS, "-o", "t.json")
    ended = cli(*ARGUMENTS, "--splits", 2, "-o", "t.json")
    assert ended.status == 2
    assert "got splits 1, budget_epochs 15; allowed: splits 2, budget_epochs 30" in ended.err


@pytest.mark.parametrize(
    ("network", "rule", "message"),
    [
        ("cnn_small", "bp", "input of network cnn_small: got (64,); allowed: a shape such as (28, 28, 1)"),
        ("64-10", "ff", "got a network without a hidden layer"),
        ("64-8-10", "no_rule", "unknown rule: got 'no_rule'"),
    ],
)
def test_what_no_rule_can_train_is_refused_before_any_trial(cli: CommandLine, folder: Path, network: str, rule: str, message: str) -> None:
    ended = cli("tune", network, "digits", "--rule", rule, "-o", "t.json")
    assert ended.status == 2
    assert message in ended.err
    assert list(folder.iterdir()) == []


def test_a_difference_is_paired_and_its_interval_is_students() -> None:
    rng = np.random.default_rng(0)
    control = dict(enumerate(rng.normal(70, 5, 6).tolist()))
    ours: dict[int, float | None] = {seed: value + 3 + rng.normal() for seed, value in control.items()}
    expected = stats.ttest_rel([*ours.values()], [*control.values()]).confidence_interval(0.95)
    found = paired_difference(ours, control)
    assert found is not None
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx(tuple(expected), rel=1e-12)  # float64 sums in another order
    without = paired_difference(ours | {0: None}, control)
    assert without is not None
    assert without.pairs == 5
    assert summary(ours | {0: None}).counted == "5 of 6, 1 diverged"
