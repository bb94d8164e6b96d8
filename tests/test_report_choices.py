"""The choices of a report: means over seeds, the front first; the same rows as CSV and as LaTeX; a thousand runs on one page."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import product

from report_traces import HOSTILE, hostile, trace

from edgeff import registry
from edgeff.ir import Trace
from edgeff.report import page
from edgeff.report.choices import choices
from edgeff.report.sheets import csv_sheet, latex_sheet
from edgeff.report.style import CONTROL, rule_look


def runs() -> list[Trace]:
    """The control, a rule above it in more RAM, one that needs more for less, one of another board, and one whose second seed diverged."""
    known = {"frozen": (0.75, 1000), "pepita": (0.9, 2000), "ff": (0.8, 3000), "dfa": (0.85, 1500)}
    members = [
        trace(rule, after=mean + (0.02 if seed else 0.0), seed=seed, ram_bytes=size)
        for rule, (mean, size) in known.items()
        for seed in (0, 1)
    ]
    members[-1] = replace(members[-1], accuracy={}, refused="training diverged in epoch 3")
    return [*members, replace(trace("ff", after=0.3, ram_bytes=900), board="rpi_pico")]


def test_the_front_of_each_board_comes_first() -> None:
    chosen = choices(runs())
    assert [(c.rule, c.first.board, c.best) for c in chosen] == [
        ("pepita", "nucleo_l4r5zi", True),
        ("dfa", "nucleo_l4r5zi", True),
        ("frozen", "nucleo_l4r5zi", True),
        ("ff", "nucleo_l4r5zi", False),
        ("ff", "rpi_pico", True),
    ]
    pepita, dfa = chosen[:2]
    assert (pepita.accuracy.shown(), pepita.ram_bytes) == ("91.0 ± 1.4", 2152)
    assert pepita.above is not None
    assert pepita.above.shown() == "+15.0 (+15.0 to +15.0)"
    assert dfa.accuracy.counted == "1 of 2, 1 diverged"


def test_runs_that_differ_in_a_remark_are_two_choices_and_a_run_given_twice_is_one() -> None:
    nearest = replace(trace(after=0.5), remarks=("updates round to nearest",))
    chosen = choices([trace(), nearest, trace(), replace(nearest, seed=1)])
    assert [(c.rule, len(c.traces)) for c in chosen] == [("pepita", 2), ("pepita (updates round to nearest)", 1)]


def test_csv_has_every_number_in_full_and_latex_what_the_page_shows() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_sheet(choices(runs())))))
    assert [row["rule"] for row in rows] == ["pepita", "dfa", "frozen", "ff", "ff"]
    first = rows[0]
    assert (float(first["accuracy_percent"]), first["seeds"], first["ram_total_bytes"], first["pareto"]) == (91.0, "2", "2152", "yes")
    assert (rows[2]["above_frozen_points"], rows[1]["diverged"]) == ("", "1")
    lines = latex_sheet(choices(runs())).splitlines()
    assert lines[0] == r"\begin{tabular}{lllrrrrrrrrrrr}"
    assert lines[2].startswith(r"rule & board & Pareto & accuracy, \%: mean &")
    assert lines[4].startswith(r"pepita & nucleo\_l4r5zi & yes & 91.0 & 1.4 & 2 & 0 & +15.0 &")


def test_hostile_names_become_neither_formula_nor_command() -> None:
    named = [replace(hostile(), seed=seed, network="=1+1", rule=rule) for seed in (0, 1) for rule in (HOSTILE, "b")]
    sheet = csv_sheet(choices(named))
    assert "'=1+1" in sheet
    assert "\x1b" not in sheet
    assert not set("<>|_&\x1b") & set(
        latex_sheet(choices([replace(run, rule="<_|") for run in named])).replace(" & ", " ").replace(r"\_", "")
    )


def test_a_thousand_runs_are_less_than_5_megabytes() -> None:
    networks, boards = ("64-8-10", "64-16-10", "64-32-10", "64-64-10", "64-128-10"), ("nucleo_l4r5zi", "rpi_pico")
    rules = ("bp", "dfa", "pepita", "mempepita", "ff", "scff", "cwc", "local_heads", "tdca", "frozen")
    every = [
        replace(trace(rule, numeric, seed=seed, after=0.5 + number / 3000, ram_bytes=1000 + 37 * number), network=network, board=board)
        for number, (network, rule, numeric, board, seed) in enumerate(product(networks, rules, ("float32", "int8"), boards, range(5)))
    ]
    assert len(every) == 1000
    text = page(every)
    assert len(text.encode()) < 5e6
    assert text.count("<tr data-run") == 1000 + 200
    assert 'data-value="0.32675">0.327<' in text  # a CSV of the page has the unit of its heading, ms
    for kind in ("network", "rule", "numeric", "board"):
        assert f'data-filter="{kind}"' in text
    assert 'data-filter="task"' not in text


def test_no_two_rules_share_a_colour() -> None:
    colours = [rule_look(rule)[0] for rule in {*registry.rules, CONTROL, "a_plugin", "another_plugin"}]
    assert len(set(colours)) == len(colours)
