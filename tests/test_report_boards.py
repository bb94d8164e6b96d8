"""Reports of several boards: one line a program, a column a board, the bytes that are missing, and what could not run with its reason."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from report_traces import trace

from edgeff.ir import Cost, LineCost, Memory, Trace
from edgeff.report import from_json, markdown_table, page, table_lines, to_json
from edgeff.report.figures import cost_by_layer, plottable
from edgeff.report.layer_names import short_name, short_names
from edgeff.report.overview import has_several_boards, missing, overview, refusals, three_digits

M4 = "instructions exact (emulated), cycles modelled, validated +-20 %"
M0 = "instructions exact (emulated), cycles modelled, unvalidated"
LARGE = "does not fit pico: 92,184 bytes of RAM too few and 319,112 bytes of flash too few"
REFUSED = "rule ff: got layers of kind conv2d; allowed: dense; use another rule"


def run(board: str, rule: str = "none", numeric: str = "int8", ms: float | None = 120.0, evidence: str = M4, flash: int = 39_936) -> Trace:
    """A run of ds_cnn on one board."""
    cost = Cost(2_656_768, 16_000_000, 21_000_000, None if ms is None else ms / 1000, evidence=evidence)
    accuracy = {"quantized": 0.901} if rule == "none" else {"before": 0.12, "after": 0.775}
    base = trace(rule, numeric)
    known = ("infer",) if rule == "none" else ("infer", "learn")
    return replace(
        base,
        task="kws",
        network="ds_cnn",
        board=board,
        accuracy=accuracy,
        memory=Memory(flash, 28_984, 16_000, 16_024, 388),
        lines={name: LineCost(cost, base.line(name).calls) for name in known},
        curve=(),
    )


def refused(board: str, rule: str, numeric: str, reason: str, *, known: bool = False) -> Trace:
    """A configuration that could not run; ``known``: its program is known all the same."""
    blank = replace(run(board, rule, numeric), accuracy={}, memory=Memory(), lines={})
    filled = replace(blank, memory=Memory(arena_bytes=221_184), lines={"infer": LineCost(Cost(macs=7))}) if known else blank
    return replace(filled, refused=reason, memory_map=())


def several() -> list[Trace]:
    """Two boards: inference on both and too large for one, learning on one, and a rule that runs on none."""
    return [
        run("nucleo", ms=178.9),
        run("pico", ms=336.2, evidence=M0, flash=38_572),
        run("nucleo", numeric="float32", ms=0.1423),
        refused("pico", "none", "float32", LARGE, known=True),
        run("nucleo", "frozen", ms=5120.7),
        run("pico", "frozen", ms=10_000.0),
        *(refused(board, "ff", numeric, REFUSED) for numeric in ("int8", "float32") for board in ("nucleo", "pico")),
    ]


def lines(width: int = 160, traces: list[Trace] | None = None) -> list[str]:
    return [line.plain for line in table_lines(several() if traces is None else traces, width)]


def row(found: list[str], *words: str) -> str:
    (only,) = [line for line in found if line.split()[: len(words)] == list(words)]
    return only


def test_a_program_has_one_line_and_a_column_for_each_board() -> None:
    found = lines()
    assert row(found, "kws", "ds_cnn", "int8").split() == ["kws", "ds_cnn", "int8", "90.1", "16,000", "16,412", "39,936", "179", "336"]
    assert row(found, "kws", "ds_cnn", "frozen").split()[3:] == ["int8", "12.0", "77.5", "16,000", "16,412", "39,936", "5,121", "10,000"]


def test_bytes_are_those_of_the_board_where_the_program_takes_most() -> None:
    traces = [run("a", flash=10), run("b", flash=30), run("c", flash=20)]
    assert row(lines(traces=traces), "kws", "ds_cnn", "int8").split()[6] == "30"


def test_a_board_that_is_too_small_has_the_bytes_that_are_missing() -> None:
    found = lines()
    place = found.index("Too large for a board")
    assert row(found[:place], "kws", "ds_cnn", "float32").split()[-2:] == ["0.142", "-"]
    assert re.split(r" {2,}", row(found[place:], "kws", "ds_cnn", "float32"))[-2:] == ["fits", "92,184 RAM, 319,112 flash"]
    assert missing(several()[3]) == ((92_184, "RAM"), (319_112, "flash"))
    assert missing(several()[0]) == ()


def test_what_ran_nowhere_stands_below_with_its_reason_once() -> None:
    found = lines()
    place = found.index("Did not run")
    assert found[place + 2] == f"ds_cnn (kws), ff, int8, float32, every board: {REFUSED}"
    assert [(item.rule, item.numerics, item.boards) for item in refusals(several())] == [("ff", "int8, float32", "every board")]
    assert not any(line.split()[:3] == ["kws", "ds_cnn", "ff"] for line in found)


def test_on_one_board_a_lack_of_memory_is_a_reason_like_any_other() -> None:
    traces = [run("pico"), several()[3]]
    assert not has_several_boards(traces)
    assert "ds_cnn (kws), inference, float32, pico: 92,184 bytes of RAM too few and 319,112 bytes of flash too few" in lines(traces=traces)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, lines(width))) <= width


def test_a_table_that_goes_on_below_leaves_out_rows_of_dashes() -> None:
    unknown = replace(run("nucleo", "frozen", "float32"), accuracy={})
    split = lines(60, [*several(), unknown])
    start = split.index("A learning step")
    first = split[start : next(i for i in range(start, len(split)) if "flash" in split[i])]
    assert not any("float32" in line for line in first)
    assert any("float32" in line for line in split[start + len(first) :])


def test_evidence_names_the_boards_where_it_differs() -> None:
    assert any("ms (unvalidated on pico; validated +-20 % on nucleo" in line.replace("\n", " ") for line in [" ".join(lines())])


def test_markdown_has_the_same_tables_and_reasons() -> None:
    text = markdown_table(several())
    assert "**Inference**" in text
    assert "| kws | ds\\_cnn | int8 | 90.1 |".replace("\\_", "_") in text
    assert "**Did not run**\n\n- ds_cnn (kws), ff, int8, float32, every board: rule ff" in text


def test_the_page_has_boards_reasons_and_remarks() -> None:
    traces = [replace(item, remarks=("weights of a <file>",)) for item in several()]
    text = page(traces)
    assert "<h2>Boards</h2>" in text
    assert "92,184 RAM, 319,112 flash" in text
    assert "<h2>What did not run</h2>" in text
    assert REFUSED in text
    assert "weights of a &lt;file&gt;" in text
    assert re.search(r'<td class="figure first">90\.1</td>', text)
    assert text.count("<h3>RAM, inference int8</h3>") == 1


def test_refusals_and_remarks_come_back_from_a_file() -> None:
    traces = [replace(several()[3], remarks=("a", "b")), several()[0]]
    content = to_json(traces, {})
    assert [entry["refused"] for entry in content["runs"]] == [LARGE, None]
    again = from_json(content)
    assert [(item.refused, item.remarks) for item in again] == [(LARGE, ("a", "b")), ("", ())]


def test_older_reports_without_them_are_read() -> None:
    content = to_json([several()[0]], {})
    del content["runs"][0]["refused"], content["runs"][0]["remarks"]
    (again,) = from_json(content)
    assert (again.refused, again.remarks, again.memory) == ("", (), several()[0].memory)


def test_inference_alone_stands_in_the_picture_at_its_own_accuracy() -> None:
    assert [item.rule for item in plottable(several())] == ["none", "none", "frozen", "frozen"]


def test_a_run_without_a_learning_step_has_no_empty_panel() -> None:
    one = several()[0]
    titles = [note["text"] for note in cost_by_layer(one)["layout"]["annotations"]]
    assert "<b>inference</b>" in titles
    assert "<b>learning step</b>" not in titles


def test_grids_say_how_their_figures_are_known() -> None:
    inference, learning, large = overview(several())
    kinds = dict(zip((heading.short for heading in inference.headings), inference.evidence, strict=True))
    assert (kinds["arena"], kinds["nucleo"], kinds["pico"], kinds["network"]) == (("exact",), ("modelled",), ("modelled",), ())
    assert learning.control == (True,)
    assert large.title == "Too large for a board"


@pytest.mark.parametrize(("number", "text"), [(99.96, "100"), (9.999, "10.0"), (1234.5, "1,234"), (0.001234, "0.00123"), (100.0, "100")])
def test_three_digits_count(number: float, text: str) -> None:
    assert three_digits(number) == text


def test_short_names_stay_apart() -> None:
    long = ["model/a/Relu;model/b", "other/a/Relu", "dense", ";;", "x" * 50]
    found = short_names(long)
    assert len(set(found.values())) == len(long)
    assert max(map(len, found.values())) <= 34
    assert short_name("functional_1/activation/Relu;functional_1/conv2d") == "activation/Relu"
