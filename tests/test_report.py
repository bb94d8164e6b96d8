"""The report's data: JSON that comes back as it went, a folder with its manifest, a table at every width."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from report_traces import VERSIONS, hostile, planned, several, trace, unknown
from rich.console import Console

from edgeff.errors import BadInput
from edgeff.ir import CallCost, Cost, LineCost, Memory, Trace
from edgeff.report import (
    from_json,
    markdown_table,
    print_table,
    read_report,
    read_reports,
    read_runs,
    run_json,
    to_json,
    write_page,
    write_report,
)
from edgeff.report.evidence import ENERGY_SOURCE
from edgeff.report.rows import control_accuracy, evidence_by_kind

# ---------------------------------------------------------------- report.json


def test_the_published_fields_are_there_by_name() -> None:
    content = to_json([trace()], VERSIONS)
    run = content["runs"][0]
    assert (content["schema"], content["versions"]) == (1, VERSIONS)
    assert {
        "task",
        "network",
        "rule",
        "numeric",
        "board",
        "target",
        "seed",
        "accuracy",
        "memory",
        "infer",
        "learn",
        "artifacts",
    } <= run.keys()
    assert list(run["accuracy"]) == ["float", "quantized", "before", "after"]
    assert list(run["memory"]) == ["flash_bytes", "weight_bytes", "arena_bytes", "static_ram_bytes", "stack_bytes", "total_ram_bytes"]
    for part in ("infer", "learn"):
        assert [name for name in run[part] if name != "layers"] == ["macs", "instructions", "cycles", "latency_s", "energy_j", "evidence"]
        assert {"name", "kernel", "macs", "instructions", "cycles"} <= run[part]["layers"][0].keys()
    assert run["memory"]["total_ram_bytes"] == 2576 + 152
    assert run["evidence"] == {"accuracy": "exact", "memory": "exact"}


def test_unknown_is_null_and_never_zero() -> None:
    run = run_json(unknown())
    assert set(run["accuracy"].values()) == set(run["memory"].values()) == {None}
    assert all(value is None for part in ("infer", "learn") for name, value in run[part].items() if name != "layers")
    assert run["evidence"] == {"accuracy": None, "memory": None}


def test_traces_come_back_as_they_went() -> None:
    traces = [trace(), hostile(), planned("ff")]
    assert from_json(json.loads(json.dumps(to_json(traces, VERSIONS)))) == traces
    content = to_json([*traces, unknown()], VERSIONS)
    assert to_json(from_json(content), VERSIONS) == content


def test_fields_of_a_newer_edgeff_are_passed_over() -> None:
    content = to_json([trace()], VERSIONS)
    content["runs"][0]["memory"]["psram_bytes"] = 7
    content["runs"][0]["energy_j"] = "?"
    assert from_json(content) == [trace()]


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(to_json([trace()], VERSIONS))
    *parents, last = path.split(".")
    place: Any = content
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[int(last) if last.isdigit() else last] = value
    return content


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "NoneType"),
        ([], "list"),
        ({}, "schema None"),
        (changed("schema", 2), "schema 2"),
        (changed("schema", True), "schema True"),
        (changed("schema", "1" * 500), "schema '1"),
        ({"schema": 1}, "runs"),
        (changed("runs", {}), "runs"),
        (changed("runs.0", None), "runs.0"),
        (changed("versions", {"numpy": 2}), "versions.numpy"),
        (changed("runs.0.task", None), "runs.0.task"),
        (changed("runs.0.task", "x" * 5000), "runs.0.task"),
        (changed("runs.0.seed", -1), "runs.0.seed"),
        (changed("runs.0.seed", 1.5), "runs.0.seed"),
        (changed("runs.0.seed", True), "runs.0.seed"),
        (changed("runs.0.accuracy.after", 1.5), "accuracy.after"),
        (changed("runs.0.accuracy.after", float("nan")), "accuracy.after"),
        (changed("runs.0.accuracy", []), "runs.0.accuracy"),
        (changed("runs.0.memory.flash_bytes", -1), "runs.0.memory.flash_bytes"),
        (changed("runs.0.memory.flash_bytes", "8280"), "runs.0.memory.flash_bytes"),
        (changed("runs.0.memory.flash_bytes", 10**400), "runs.0.memory.flash_bytes"),
        (changed("runs.0.memory.total_ram_bytes", 1), "total_ram_bytes is 1"),
        (changed("runs.0.learn.latency_s", float("inf")), "runs.0.learn.latency_s"),
        (changed("runs.0.learn.layers.0.macs", None), "runs.0.learn.layers.0.macs"),
        (changed("runs.0.functions", {"f": -1}), "runs.0.functions.f"),
        (changed("runs.0.curve.0", [1]), "runs.0.curve.0"),
        (changed("runs.0.curve.0", [0.5, 0.5]), "curve"),
        (changed("runs.0.curve.0", [1, 7.0]), "curve"),
        (changed("runs.0.memory_map.0.line", "train"), "runs.0: memory_map.0.line is 'train'"),
        (changed("runs.0.memory_map.3.last", 0), "first is 2"),
        (changed("runs.0.artifacts.firmware.sha256", "../../etc/passwd"), "sha256"),
        (changed("runs.0.board", "\n\x1b[31m" * 2000), "runs.0.board"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(content: Any, named: str) -> None:
    with pytest.raises(BadInput) as caught:
        from_json(content, "x/report.json")
    message = str(caught.value)
    assert message.startswith("report x/report.json: got ")
    assert named in message
    assert message.isprintable()
    assert len(message) <= 600


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"\x7fELF\x01\x01",
        b'{"schema": 1, "runs": [NaN]}',
        b'{"schema": 1, "runs": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"schema": 1, "runs": [{"task": "\\ud800"}]}',
    ],
)
def test_a_file_that_is_no_report_is_refused_in_one_line(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(raw)
    with pytest.raises(BadInput) as caught:
        read_runs(tmp_path)
    assert str(caught.value).isprintable()


def test_a_missing_report_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "\0"):
        with pytest.raises(BadInput, match=r"report\.json.*edgeff demo"):
            read_runs(path)


def test_several_reports_are_read_one_after_the_other_and_name_each_version(tmp_path: Path) -> None:
    for name, version in (("a", "1"), ("b", "2"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(to_json([trace(seed=int(version))], {"numpy": version, "onnx": None})))
    record = read_reports([tmp_path / "a", tmp_path / "b" / "report.json", tmp_path / "c"])
    assert [run.seed for run in record.runs] == [1, 2, 2]
    assert record.versions == {"numpy": "1, 2", "onnx": None}


def test_every_field_of_a_trace_is_in_its_json() -> None:
    more = replace(
        trace(), mse={"float": 0.5}, lines=dict(trace().lines) | {"embed": LineCost(Cost(7), (CallCost("a", "k", "forward", 7),))}
    )
    assert {field.name for field in fields(Trace)} <= run_json(more).keys()
    assert from_json(to_json([more], VERSIONS)) == [more]
    assert "lines" not in run_json(trace())


# ---------------------------------------------------------------- the folder


def test_a_folder_holds_the_report_the_page_and_the_manifest_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    (folder / "pepita").mkdir(parents=True)
    (folder / "pepita" / "firmware.elf").write_bytes(b"\x7fELF")
    (folder / "link").symlink_to("/etc/hostname")
    assert write_report(folder, several(), VERSIONS) == folder / "report.html"
    assert write_report(folder, several(), VERSIONS) == folder / "report.html"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == ["pepita/firmware.elf", "report.html", "report.json"]
    for name, entry in manifest["files"].items():
        raw = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(raw).hexdigest(), "size_bytes": len(raw)}
    assert sorted(path.name for path in folder.iterdir()) == ["link", "manifest.json", "pepita", "report.html", "report.json"]
    assert read_report(folder).runs == tuple(several())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    with pytest.raises(BadInput, match="can be written"):
        write_report(tmp_path / "file", [trace()])
    with pytest.raises(BadInput, match="can be written"):
        write_page(tmp_path / "missing" / "report.html", [trace()])
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="can be written"):
        write_page(tmp_path / "folder", [trace()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


# ---------------------------------------------------------------- the table


def printed(traces: list[Trace], width: int, encoding: str = "utf-8", **more: Any) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_table(traces, Console(file=stream, width=width, **more))
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_table_fits_its_width_and_holds_every_figure(width: int) -> None:
    text = printed(several(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    for figure in ("bp", "frozen", "float32", "96.1", "95.8", "5.3", "91.2", "8,280", "2,728", "152", "37,885", "0.327", "13,528", "0.118"):
        assert figure in text
    assert "exact:" in text
    assert re.search(r"modelled: +ms \(validated \+-20 %\)", text)


def test_the_table_is_one_at_100_columns_and_two_at_80() -> None:
    assert printed(several(), 100).count("rule ") == 1
    assert printed(several(), 80).count("rule ") == 2


def test_figures_stand_to_the_right_in_columns_as_wide_in_every_line() -> None:
    lines = printed(several(), 100).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("bp"))
    rows = lines[first : first + len(several())]
    assert len({len(row) for row in rows}) == 1
    for place in {match.end() for match in re.finditer(r"\S+", rows[0])} - {match.end() for match in re.finditer(r"[a-z]\S*", rows[0])}:
        assert all(row[place - 1] != " " and row[place : place + 1] in {"", " "} for row in rows)


def test_a_terminal_gets_styles_and_an_ascii_pipe_gets_ascii() -> None:
    assert "\x1b[" in printed([trace()], 100, force_terminal=True, color_system="standard")
    assert printed([trace(rule="r\N{LATIN SMALL LETTER E WITH ACUTE}gle")], 100, encoding="ascii").isascii()


def test_unknown_figures_are_dashes_and_unknown_columns_are_left_out() -> None:
    text = printed([replace(trace("bp"), lines={"infer": trace().line("infer")}, memory=Memory(8280)), trace("ff")], 120)
    assert re.search(r"bp +int8 .* 8,280 +- +- +- +- +- +13,528", text)
    assert "stack" not in printed([unknown()], 100)
    assert printed([], 80) == "no runs\n"


def test_seeds_are_shown_where_there_are_several() -> None:
    assert "seed 0" in printed([trace()], 100)
    text = printed([trace(seed=3), trace(seed=4)], 100)
    assert re.search(r"numeric +seed", text)


def test_markdown_has_a_cell_for_every_column_and_escapes_names() -> None:
    lines = markdown_table([*several()]).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == len(several()) + 2
    assert {row.count("|") for row in rows} == {15}
    assert rows[1].split("|")[1:4] == [" --- ", " --- ", " ---: "]
    for row in markdown_table([hostile()]).splitlines():
        assert not re.search(r"(?<!\\)[<`*\[\x1b]", row.removeprefix("**").removesuffix("**"))


def test_hostile_names_reach_no_terminal() -> None:
    assert "\x1b" not in printed([hostile()], 100)
    assert all(line.isprintable() for line in printed([hostile()], 100).splitlines())


def test_evidence_is_said_by_kind() -> None:
    assert evidence_by_kind([trace()]) == {
        "exact": [
            "accuracy (share of the test samples)",
            "flash, RAM and stack (linked firmware, painted stack)",
            "instructions (emulated)",
        ],
        "modelled": ["ms (validated +-20 %)", f"uJ ({ENERGY_SOURCE})"],
    }
    measured = replace(trace(), target="serial", lines={"learn": LineCost(replace(trace().learn, evidence="measured"))})
    assert "ms" in evidence_by_kind([measured])["measured"]


def test_the_control_is_that_of_the_same_place() -> None:
    traces = several()
    pepita = next(t for t in traces if t.rule == "pepita" and t.numeric == "int8")
    assert control_accuracy(pepita, traces) == 0.7556
    assert control_accuracy(pepita, []) is None
    assert control_accuracy(replace(pepita, accuracy={"after": 0.9, "frozen": 0.5}), []) == 0.5
    assert control_accuracy(replace(pepita, seed=9), traces) is None
    assert all(control_accuracy(t, traces) is None for t in traces if t.rule == "frozen")
