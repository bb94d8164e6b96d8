"""The comparison of rules: means and deviations over seeds, the margin over the control seed by seed, and one suite that makes it."""

from __future__ import annotations

from dataclasses import replace

from edgeff.bench import SUITES, Wishes, configurations
from edgeff.bench.rules import RulePoint
from edgeff.ir import Cost, LineCost, Memory, Trace
from edgeff.report import markdown_table, page, table_lines
from edgeff.report.comparison import comparisons, grid, is_comparison
from edgeff.report.figures import rules_compared


def trace(rule: str, seed: int, accuracy: float | None, **changes: object) -> Trace:
    """What a rule reached on the host with a seed."""
    made = Trace("digits", "64-32-10", rule, "float32", None, "host", seed, {"float": accuracy, "quantized": accuracy})
    lines = {"infer": LineCost(Cost(macs=2368)), "learn": LineCost(Cost(macs=5056))}
    costs = {"lines": lines, "memory": Memory(weight_bytes=9472, arena_bytes=10_200)}
    return replace(made, **(costs | {"remarks": ("stores all it can",)} | changes))  # type: ignore[arg-type]


TRACES = [
    trace("frozen", 0, 0.8),
    trace("frozen", 1, 0.9),
    trace("bp", 0, 0.96),
    trace("bp", 1, 0.98),
    trace("tdca", 0, 0.7, lines={"infer": LineCost(Cost(macs=2368))}, memory=Memory(weight_bytes=9472)),
    trace("ff", 0, None, refused="no"),
    trace("dfa", 0, 0.9),
    trace("dfa", 1, None, refused="training with dfa diverged in epoch 7"),
]


def test_a_difference_is_paired_by_seed_and_what_diverged_is_counted() -> None:
    (comparison,) = comparisons(TRACES)
    assert [result.rule for result in comparison.results] == ["bp", "dfa", "frozen", "tdca"]
    made = grid(comparison)
    assert comparison.title == "64-32-10 on digits"
    # 16 and 8 points above: mean 12, Student's t of one degree of freedom 12.706, times the deviation 5.657 over the root of 2
    cells = ("97.0 ± 1.4", "2", "+12.0 (-38.8 to +62.8)", "97.0 ± 1.4", "2,368", "5,056", "10,200", "all it can")
    assert made.rows[0] == ("bp", *cells)
    assert made.rows[1][:5] == ("dfa", "90.0", "1 of 2, 1 diverged", "+10.0 (1 pair)", "90.0")
    assert made.rows[2][:4] == ("frozen", "85.0 ± 7.1", "2", None)
    assert made.rows[3] == ("tdca", "70.0", "1", "-10.0 (1 pair)", "70.0", "2,368", None, None, "all it can")
    assert made.control == (False, False, True, False)


def test_runs_on_a_board_are_no_comparison() -> None:
    assert is_comparison(TRACES)
    assert not is_comparison([*TRACES, replace(TRACES[0], board="rpi_pico")])
    assert not is_comparison(TRACES[:2])


def test_the_page_the_terminal_and_markdown_show_it() -> None:
    text = page(TRACES)
    assert "Rules compared" in text
    assert "97.0 ± 1.4" in text
    assert "97.0 ± 1.4" in "\n".join(line.plain for line in table_lines(TRACES, 120))
    assert "97.0 ± 1.4" in markdown_table(TRACES)
    picture = rules_compared(comparisons(TRACES)[0])
    assert picture["layout"]["shapes"][0]["x0"] == 85.0
    assert [mark["y"][0] for mark in picture["data"][1::2]] == ["bp", "dfa", "frozen", "tdca"]


def test_a_point_of_the_suite_measures_and_counts() -> None:
    names = [item.name for item in configurations(SUITES["rules"], Wishes(only=("digits-64-32-10-frozen-*",)))]
    assert names == [f"digits-64-32-10-frozen-s{seed}" for seed in range(3)]
    made = RulePoint("digits", "64-32-10", "dfa", 0, {"epochs": 3}).run()
    assert made.accuracy["float"] is not None
    assert 0.6 < made.accuracy["float"] < 1.0
    assert (made.infer.macs, made.learn.macs, made.refused) == (2368, 5056, "")
    assert made.memory.arena_bytes == 10_200
    assert made.remarks == ("stores all activations until the output error is known",)


def test_what_cannot_be_has_its_reason() -> None:
    made = RulePoint("digits", "64-32-10", "pepita", 0, {"epochs": 2, "lr": 900.0, "feedback_scale": 9.0}).run()
    assert "diverged" in made.refused
    assert made.accuracy == {}


def test_a_rule_of_the_host_alone_has_no_costs_of_a_step() -> None:
    made = RulePoint("digits", "64-32-10", "phyll", 0, {"epochs": 1}).run()
    assert made.accuracy["float"] is not None
    assert (made.accuracy["quantized"], made.learn.macs, made.memory.arena_bytes) == (None, None, None)
    assert "no learning step on a device" in made.remarks[1]
