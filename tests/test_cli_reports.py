"""The commands that compare: bench, resumed where it was left, and report."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine

from edgeff.ir import Trace


@pytest.fixture
def short_suite(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A suite of two small configurations; the list of those that were run."""
    from edgeff import bench

    configurations = [bench.Configuration("digits", "64-8-10", rule, "int8", "nucleo_l4r5zi", 0, 1, 5) for rule in ("frozen", "bp")]
    ran: list[str] = []
    whole = bench.Configuration.run

    def counted(configuration: bench.Configuration) -> Trace:
        ran.append(configuration.name)
        return whole(configuration)

    monkeypatch.setattr(bench, "SUITES", {"short": lambda _wishes: configurations})
    monkeypatch.setattr(bench.Configuration, "run", counted)
    return ran


def test_bench_goes_on_where_it_was_left(cli: CommandLine, folder: Path, short_suite: list[str]) -> None:
    first = cli.ok("bench", "short", "--json").json
    assert [entry["rule"] for entry in first] == ["frozen", "bp"]
    assert {"report.json", "report.html"} <= {path.name for path in (folder / "runs" / "short").iterdir()}
    kept = sorted((folder / "runs" / "short" / "configurations").iterdir())
    kept[0].unlink()
    kept[1].write_text("{", encoding="utf-8")
    again = cli.ok("bench", "short", "--json")
    assert again.json == first
    assert "is run again" in again.err
    assert len(short_suite) == 4
    assert cli.ok("bench", "short", "--json").json == first
    assert len(short_suite) == 4


@pytest.mark.usefixtures("folder")
def test_bench_makes_again_what_is_of_other_settings_or_another_version(
    cli: CommandLine, short_suite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of the files are the same in every case."""
    from edgeff.registry import rules

    cli.ok("bench", "short", "--json")
    assert len(short_suite) == 2
    monkeypatch.setattr(rules["bp"], "device", {"int8": {"lr": 0.01}}, raising=False)
    assert "bp-int8" in cli.ok("bench", "short", "--json").err
    assert short_suite[2:] == [name for name in short_suite[:2] if "-bp-" in name]
    monkeypatch.setattr("edgeff.cli.bench.version", lambda: "9.9")
    cli.ok("bench", "short", "--json")
    assert len(short_suite) == 5
    cli.ok("bench", "short", "--json")
    assert len(short_suite) == 5


@pytest.mark.usefixtures("folder")
def test_report_puts_folders_on_one_page(cli: CommandLine, short_suite: list[str]) -> None:
    cli.ok("bench", "short", "-o", "runs")
    assert len(short_suite) == 2
    ended = cli.ok("report", "runs", "runs/report.json", "-o", "page.html", "--json")
    assert ended.json == {"runs": 4, "report": "page.html"}
    assert Path("page.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


@pytest.mark.usefixtures("folder")
def test_a_pattern_chooses_configurations(cli: CommandLine, short_suite: list[str]) -> None:
    assert [entry["rule"] for entry in cli.ok("bench", "short", "--only", "*-frozen-*", "--json").json] == ["frozen"]
    assert len(short_suite) == 1
    ended = cli("bench", "short", "--only", "*-none-*")
    assert (ended.status, ended.err.startswith("error: option --only: got *-none-*; allowed: a pattern such as")) == (2, True)


@pytest.mark.usefixtures("folder")
def test_a_folder_of_models_has_to_exist(cli: CommandLine) -> None:
    ended = cli("bench", "mlperf-tiny", "--models", "nowhere")
    assert (ended.status, ended.err) == (
        2,
        "error: folder of models: got 'nowhere'; allowed: an existing folder, by --models or EDGEFF_MODELS_DIR\n",
    )
