"""The commands that compare: bench, resumed where it was left, and report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import CommandLine
from report_traces import trace

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
    plan, began, ended = again.err.splitlines()[1:]
    assert "is run again" in again.err.splitlines()[0]
    assert plan == (
        "note: short: 2 configurations (1 task, 1 network, 2 rules, 1 numeric, 1 board, 1 seed); "
        "0 of 2 configurations were already finished, 2 to run"
    )
    assert began.startswith("note: 1 of 2, about ")
    assert ended.startswith("note: 2 of 2, done: digits-")
    assert len(short_suite) == 4
    kept[0].write_text(kept[0].read_text(encoding="utf-8")[:-20], encoding="utf-8")  # its head is whole
    damaged = cli.ok("bench", "short", "--json")
    assert damaged.json == first
    assert "2 of 2 configurations were already finished" in damaged.err.splitlines()[0]
    assert "is run again: result " in damaged.err.splitlines()[1]
    assert len(short_suite) == 5
    assert cli.ok("bench", "short", "--json").json == first
    assert len(short_suite) == 5


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


@dataclass(frozen=True)
class Quick:
    """A configuration that takes no time."""

    seed: int
    name: str = ""

    def run(self) -> Trace:
        return trace(seed=self.seed, after=0.5 + self.seed / 10_000)


def quick(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A suite ``quick`` of ``count`` configurations that take no time."""
    from edgeff import bench

    monkeypatch.setattr(bench, "SUITES", {"quick": lambda _wishes: [Quick(seed, f"quick-s{seed}") for seed in range(count)]})


@pytest.mark.usefixtures("folder")
def test_shards_hold_every_configuration_once_and_one_report_reads_them_all(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, 5)
    ran = [[run["seed"] for run in cli.ok("bench", "quick", "--shard", f"{number}/3", "--json").json] for number in (1, 3)]
    assert ran == [[0, 3], [2]]
    ended = cli("report", "runs/quick", "-o", "page.html")
    assert ended.err == (
        "error: report folder runs/quick: got no report of share 2 of 3; allowed: a report.json of every share; "
        "run the same `edgeff bench` with --shard 2/3\n"
    )
    cli.ok("bench", "quick", "--shard", "2/3")
    assert cli.ok("report", "runs/quick", "-o", "page.html", "--json").json["runs"] == 5
    Path("runs/quick/shard-1-of-2").mkdir()
    assert "shares of 2 and shares of 3" in cli("report", "runs/quick", "-o", "page.html").err
    for wrong in ("0/3", "4/3", "1", "a/b"):
        assert cli("bench", "quick", "--shard", wrong).err.startswith(f"error: option --shard: got '{wrong}'; allowed: I/N")
    assert "at most 5 shards" in cli("bench", "quick", "--shard", "6/6").err


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_cluster_of_two_processes_gives_the_results_of_this_one(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last digit; a worker with other sources, or no scheduler, is refused."""
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install 'edgeff[dask]'")
    from edgeff import bench
    from edgeff.bench import machines
    from edgeff.bench.rules import RulePoint

    points = [RulePoint("digits", "64-8-10", rule, 0, {"epochs": 1}) for rule in ("phyll", "tdca")]
    monkeypatch.setattr(bench, "SUITES", {"short": lambda _wishes: points})
    local = cli.ok("bench", "short", "-o", "local", "--json").json
    assert cli("bench", "short", "--backend", "dask").err.startswith("error: option --scheduler: got --backend dask alone")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        dask = ("bench", "short", "--backend", "dask", "--scheduler", cluster.scheduler_address)
        assert cli.ok(*dask, "-o", "cluster", "--json").json == local
        monkeypatch.setattr(machines, "sources_fingerprint", lambda: str(os.getpid()))
        assert "allowed: the sources that run here" in cli(*dask, "-o", "other").err
    monkeypatch.setattr(machines, "CONNECT_S", 0.1)
    ended = cli(*dask, "-o", "gone")
    assert (ended.status, ended.err.splitlines()[-1].startswith(f"error: scheduler {cluster.scheduler_address}: got ")) == (2, True)
