"""Every command end to end, what it prints for machines, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from command_line import CommandLine, make_models
from model_files import float_network

import edgeff.exporters.onnx
import edgeff.ir
import edgeff.train
from edgeff.cli import run
from edgeff.cli.engines import ENGINES as RUNNERS
from edgeff.cli.evaluate import ENGINES
from edgeff.cli.group import COMMANDS, State, group
from edgeff.cli.list_ import KINDS
from edgeff.cli.options import NUMERICS
from edgeff.exporters.onnx import to_onnx
from edgeff.importers import load
from edgeff.simulate import build_project
from edgeff.toolchains.host import host_compiler

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTATION = ROOT / "docs" / "commands.md"
COMMON = {"--json", "--seed", "--debug"}
HEAVY = {"numpy", "onnx", "onnxruntime", "ai_edge_litert", "sklearn", "pydantic", "rich", "unicorn", "plotly", "jinja2"}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the one commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, timeout=120, check=False)


# ---------------------------------------------------------------- the frame


def test_no_arguments_and_help_show_every_command(cli: CommandLine) -> None:
    plain, asked = cli.ok(), cli.ok("--help")
    assert plain.out == asked.out
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +\w", plain.out, re.MULTILINE)] == []


def test_the_version_is_that_of_the_project(cli: CommandLine) -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert cli.ok("--version").out == f"edgeff {version[1]}\n"


@pytest.mark.parametrize(
    ("arguments", "allowed"), [(["--help"], set()), (["list", "rules"], {"numpy", "rich"}), (["list", "tasks"], {"numpy", "rich"})]
)
def test_help_and_list_import_nothing_heavy(arguments: list[str], allowed: set[str]) -> None:
    code = f"import sys, edgeff.cli as c; c.run({arguments}); print(sorted({HEAVY - allowed!r} & set(sys.modules)))"
    assert process("-c", code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_common_options_and_an_example(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert {option for parameter in command.params for option in parameter.opts} >= COMMON
    assert (command.epilog or "").startswith(f"Example: edgeff {name}")
    assert command.help


def sections() -> dict[str, str]:
    """The documentation of each command by its name."""
    parts = re.split(r"^## edgeff (\w+)$", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_is_documented_in_the_order_of_the_road() -> None:
    assert [*sections()] == [*COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_one_example_that_parses_are_documented(name: str, folder: Path) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    section = sections()[name]
    options = {o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    assert [option for option in sorted(options - COMMON) if f"`{option}" not in section and f"`{option}`" not in section] == []
    (example,) = re.findall(r"```sh\n(.+)\n```", section)
    words = shlex.split(example)
    assert words[:2] == ["edgeff", name]
    with command.make_context(name, words[2:], obj=State()):
        pass
    assert list(folder.iterdir()) == []


# ---------------------------------------------------------------- list, doctor


@pytest.mark.parametrize("kind", KINDS)
def test_list(cli: CommandLine, kind: str) -> None:
    entries = cli.ok("list", kind, "--json").json
    assert entries
    shown = cli.ok("list", kind).out
    for entry in entries:
        assert entry["name"]
        assert entry["summary"]
        assert entry["name"] in shown


def test_list_finds_a_plug_in(folder: Path) -> None:
    plugin = ["from edgeff.rules import Rule, register", "@register", "class Mine(Rule):", "    name = 'mine'", "    summary = 'my own'"]
    (folder / "mine.py").write_text("\n".join(plugin), encoding="utf-8")
    done = process("-m", "edgeff", "list", "rules", "--json", EDGEFF_PLUGIN_DIR=str(folder))
    assert {"name": "mine", "summary": "my own", "source": ""} in json.loads(done.stdout)


def test_a_broken_plug_in_is_one_line(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    done = process("-m", "edgeff", "list", "rules", EDGEFF_PLUGIN_DIR=str(folder))
    assert done.returncode == 2
    assert re.fullmatch(r"error: plugin file .*broken\.py: got ZeroDivisionError: division by zero; .*\n", done.stderr)


def test_doctor(cli: CommandLine) -> None:
    found = {entry["name"]: entry for entry in cli.ok("doctor", "--json").json}
    assert found["numpy"]["version"] == np.__version__
    assert {"cc", "arm-none-eabi-gcc", "tensorflow"} <= set(found)
    assert all(entry["how_to_get"] for entry in found.values() if entry["version"] is None)
    assert "numpy" in cli.ok("doctor").out


# ---------------------------------------------------------------- models


def test_train_writes_a_model_that_says_where_it_comes_from(cli: CommandLine, folder: Path) -> None:
    command = shlex.split("train digits --network 64-8-10 --rule bp --epochs 3 --set lr=0.2 --set batch=32 --seed 7")
    result = cli.ok(*command, "-o", "m.onnx", "--json").json
    network = load("m.onnx")
    assert (network.metadata["task"], network.metadata["rule"], network.metadata["seed"]) == ("digits", "bp", 7)
    settings = network.metadata["settings"]
    assert (settings["lr"], settings["batch"], settings["epochs"]) == (0.2, 32, 3)
    assert network.metadata["accuracy"] == result["accuracy"]
    assert result["accuracy"]["test"] > 0.5
    first = Path("m.onnx").read_bytes()
    assert "wrote m.onnx" in cli.ok(*command, "-o", "m.onnx").out
    assert Path("m.onnx").read_bytes() == first
    assert [path.name for path in folder.iterdir()] == ["m.onnx"]


@pytest.mark.usefixtures("folder")
def test_train_by_the_squared_error_with_biases(cli: CommandLine) -> None:
    command = "train digits --network 64-32-10 --rule bp --epochs 12 --set lr=0.003 --loss mse --bias -o m.onnx --json"
    result = cli.ok(*shlex.split(command)).json
    assert [layer.op for layer in load("m.onnx")] == ["dense", "dense"]
    assert result["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert result["accuracy"]["test"] > 0.7


def test_evaluate_takes_the_split_the_model_was_trained_with(cli: CommandLine, models: Path) -> None:
    accuracy = load(models / "float.onnx").metadata["accuracy"]
    test = cli.ok("evaluate", models / "float.onnx", "digits", "--json").json
    assert test == {"task": "digits", "metric": "accuracy", "value": pytest.approx(accuracy["test"]), "samples": 360, "engine": "edgeff"}
    train = cli.ok("evaluate", models / "float.onnx", "digits", "--split", "train", "--engine", "c", "--json").json
    assert (train["value"], train["samples"]) == (pytest.approx(accuracy["train"]), 1437)


def test_the_words_of_options_are_those_of_the_code() -> None:
    assert tuple(RUNNERS) == ENGINES
    assert NUMERICS == edgeff.ir.NUMERICS


@pytest.mark.parametrize("model", ["float", "int8", "channel"])
def test_the_engines_agree(cli: CommandLine, models: Path, model: str) -> None:
    """Of 360 samples three may change sides: ONNX Runtime and LiteRT round otherwise."""
    pytest.importorskip("tflite_micro")
    values = {e: cli.ok("evaluate", models / f"{model}.onnx", "digits", "--engine", e, "--json").json["value"] for e in ENGINES}
    assert values["c"] == values["edgeff"]
    assert max(values.values()) - min(values.values()) <= 3 / 360


def test_a_model_that_probes_is_evaluated_by_probing(cli: CommandLine, models: Path) -> None:
    expected = pytest.approx(load(models / "ff.onnx").metadata["accuracy"]["test"])
    for engine in ("edgeff", "c"):
        assert cli.ok("evaluate", models / "ff.onnx", "digits", "--engine", engine, "--json").json["value"] == expected
    head = cli.ok("evaluate", models / "ff.onnx", "digits", "--engine", "onnxruntime")
    assert head.err == "note: onnxruntime knows layers only: it runs the head of this model, not the probing of ff\n"


def test_import_and_export_give_the_network_back(cli: CommandLine, models: Path, folder: Path) -> None:
    cli.ok("export", models / "int8.onnx", "--to", "tflite", "-o", "m.tflite")
    imported = cli.ok("import", "m.tflite", "-o", "m.onnx", "--json").json
    assert (imported["numeric"], imported["input_shape"], len(imported["layers"])) == ("int8", [64], 3)
    assert Path("m.onnx").read_bytes() == (models / "int8.onnx").read_bytes()
    cli.ok("export", "m.onnx", "--to", "onnx", "-o", "again.onnx")
    assert Path("again.onnx").read_bytes() == Path("m.onnx").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["again.onnx", "m.onnx", "m.tflite"]


def test_quantize_says_what_it_cost(cli: CommandLine, models: Path, folder: Path) -> None:
    result = cli.ok("quantize", models / "float.onnx", "--calibrate", "digits", "-o", "m.onnx", "--json").json
    assert abs(result["accuracy"]["float"] - result["accuracy"]["quantized"]) < 0.03
    assert Path("m.onnx").read_bytes() == (models / "int8.onnx").read_bytes()
    cli.ok("quantize", models / "float.onnx", "--calibrate", "digits", "--rule", "pepita", "-o", "room.onnx")
    assert load("room.onnx")["dense_1"].quant["weight"].scale[0] > load("m.onnx")["dense_1"].quant["weight"].scale[0]
    assert [path.name for path in sorted(folder.iterdir())] == ["m.onnx", "room.onnx"]


# ---------------------------------------------------------------- C and firmware

C_FILES = {"edgeff.h", "main.c", "model.c", "model.h"}


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("float", ["--with-training"]),
        ("float", ["--with-training", "--rule", "dfa", "--numeric", "int16", "--set", "lr=0.01"]),
        ("int8", []),
        ("ff", []),
        ("ff", ["--with-training", "--numeric", "int8"]),
    ],
)
def test_exported_c_checks_itself(cli: CommandLine, models: Path, folder: Path, model: str, options: list[str]) -> None:
    result = cli.ok("export", models / f"{model}.onnx", "--to", "c", *options, "-o", "model_c", "--json").json
    assert set(result["files"]) == {path.name for path in (folder / "model_c").iterdir()}
    assert set(result["files"]) > C_FILES
    sources = sorted(map(str, (folder / "model_c").glob("*.c")))
    flags = ["-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*host_compiler(), *flags, *sources, "-o", "check"], check=True, timeout=120)
    checked = subprocess.run([str(folder / "check")], capture_output=True, text=True, check=False, timeout=60)
    assert checked.stdout.splitlines()[-1] == "ok: every bit as in the reference"
    text = (folder / "model_c" / "model.c").read_text(encoding="utf-8")
    assert f"edgeff export {model}.onnx --to c" in text
    assert str(folder) not in text


def test_the_same_export_gives_the_same_bytes_and_keeps_other_files(cli: CommandLine, models: Path, folder: Path) -> None:
    command = ("export", models / "float.onnx", "--to", "c", "--with-training", "-o")
    cli.ok(*command, "a")
    cli.ok(*command, "deep/er/b")
    first = {path.name: path.read_bytes() for path in (folder / "a").iterdir()}
    assert {path.name: path.read_bytes() for path in (folder / "deep/er/b").iterdir()} == first
    (folder / "a" / "notes.txt").write_text("mine", encoding="utf-8")
    cli.ok("export", models / "float.onnx", "--to", "c", "-o", "a")
    names = {path.name for path in (folder / "a").iterdir()}
    assert "notes.txt" in names
    assert names - {"notes.txt"} < set(first)


@pytest.mark.usefixtures("folder")
def test_cost_is_that_of_the_firmware(cli: CommandLine, models: Path) -> None:
    command = (models / "float.onnx", "--numeric", "int8", "--board", "nucleo_l4r5zi")
    learn = cli.ok("cost", *command, "--rule", "pepita", "--json").json
    infer = cli.ok("cost", *command, "--json").json
    assert set(learn) == {"layers", "infer", "learn", "weight_bytes", "board"}
    assert {tuple(layer) for layer in learn["layers"]} == {("name", "kernel", "macs", "weight_bytes", "activation_bytes")}
    assert [layer["name"] for layer in learn["layers"]] == ["dense_1", "dense_2", "softmax"]
    assert sum(layer["macs"] for layer in learn["layers"]) == learn["infer"]["macs"] == 64 * 16 + 16 * 10
    assert sum(layer["weight_bytes"] for layer in learn["layers"]) == learn["weight_bytes"]
    assert infer["learn"] == {"macs": None, "arena_bytes": None}
    assert infer["infer"] == learn["infer"]
    for rule, expected in (("pepita", learn["learn"]), (None, learn["infer"])):
        options = ["--rule", rule] if rule else []
        built = cli.ok("build", *command, *options, "-o", f"firmware_{rule}", "--json").json
        assert built["memory"]["arena_bytes"] == expected["arena_bytes"]
        assert Path(built["elf"]).read_bytes().startswith(b"\x7fELF")


def test_cost_says_what_does_not_fit_and_what_would(cli: CommandLine, folder: Path) -> None:
    large = float_network((64, 500, 10), bias=False)
    (folder / "large.onnx").write_bytes(to_onnx(large).SerializeToString())
    command = ("cost", "large.onnx", "--rule", "bp", "--board", "nucleo_f446re")
    board = cli.ok(*command, "--json").json["board"]
    assert (board["name"], board["fits"]) == ("nucleo_f446re", False)
    assert f"does not fit nucleo_f446re: {-board['free_ram_bytes']:,} bytes of RAM too few" in cli.ok(*command).out
    assert re.search(r"rules that would fit: .*frozen", board["summary"])


def test_build_gives_a_project_that_is_replaced_by_the_next(cli: CommandLine, models: Path, folder: Path) -> None:
    command = ("build", models / "float.onnx", "--board", "rpi_pico", "-o", "project")
    cli.ok(*command, "--rule", "pepita", "--train-layers", "dense_1,dense_2")
    more = {path.name for path in (folder / "project").rglob("eff_*.c")}
    cli.ok(*command)
    assert {path.name for path in (folder / "project").rglob("eff_*.c")} < more
    assert [path.name for path in folder.iterdir()] == ["project"]


def test_profile_gives_a_run_with_layers(cli: CommandLine, models: Path) -> None:
    command = ("profile", models / "float.onnx", "--board", "nucleo_l4r5zi", "--rule", "pepita", "--numeric", "int8")
    entry = cli.ok(*command, "--json").json
    check_run(entry, rule="pepita", numeric="int8")
    for line in ("infer", "learn"):
        assert {"name", "kernel", "macs", "instructions", "cycles"} <= set(entry[line]["layers"][0])
        assert sum(layer["instructions"] for layer in entry[line]["layers"]) == entry[line]["instructions"]
    assert f"{entry['learn']['instructions']:,}" in cli.ok(*command).out


def test_simulate_learns_and_says_what_a_step_costs(cli: CommandLine, models: Path) -> None:
    command = ("simulate", models / "float.onnx", "digits", "--board", "nucleo_l4r5zi", "--rule", "pepita", "--samples", "60")
    entry = cli.ok(*command, "--json").json
    check_run(entry, rule="pepita", numeric="float32")
    accuracy = entry["accuracy"]
    assert accuracy["float"] == accuracy["before"] == load(models / "float.onnx").metadata["accuracy"]["test"]
    assert accuracy["quantized"] is None
    assert accuracy["after"] > 0.5
    assert cli.ok(*command, "--json").json == entry


def check_run(entry: dict[str, Any], rule: str, numeric: str) -> None:
    assert (entry["task"], entry["network"], entry["rule"], entry["numeric"]) == ("digits", "64-16-10", rule, numeric)
    assert (entry["board"], entry["target"], entry["seed"]) == ("nucleo_l4r5zi", "unicorn", 3)
    assert {"flash_bytes", "weight_bytes", "arena_bytes", "static_ram_bytes", "stack_bytes", "total_ram_bytes"} <= set(entry["memory"])
    for line in ("infer", "learn"):
        assert {"macs", "instructions", "cycles", "latency_s", "evidence"} <= set(entry[line])
        assert entry[line]["instructions"] > entry[line]["macs"]


@pytest.mark.usefixtures("folder")
def test_verify_compares_every_execution(cli: CommandLine, models: Path) -> None:
    np.savez("x.npz", x=np.random.default_rng(0).random((3, 64)))
    result = cli.ok("verify", models / "int8.onnx", "--inputs", "x.npz", "--board", "nucleo_l4r5zi", "--json").json
    assert result["ok"] is True
    keys = {"a", "b", "what", "elements", "differing", "max_difference", "allowed"}
    assert all(keys <= set(comparison) for comparison in result["comparisons"])
    assert any("nucleo_l4r5zi" in comparison["b"] for comparison in result["comparisons"])
    assert any("steps of pepita" in comparison["what"] for comparison in result["comparisons"])


def test_a_forbidden_difference_ends_in_1(cli: CommandLine, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeff import verify

    wrong = verify.Verification((verify.Comparison("NumPy twin", "C on the host", "scores", 640, 2, 3, 0),))
    monkeypatch.setattr(verify, "verify", lambda *_args, **_options: wrong)
    ended = cli("verify", models / "int8.onnx", "--json")
    assert (ended.status, ended.json["ok"]) == (1, False)
    assert re.fullmatch(r"error: 1 of 1 comparisons failed; NumPy twin against C on the host, scores: got 2 of 640 .*\n", ended.err)


# ---------------------------------------------------------------- reports


@pytest.fixture
def short_suite(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A suite of two small configurations; the list of those that were run."""
    from edgeff import bench

    configurations = [bench.Configuration("digits", "64-8-10", rule, "int8", "nucleo_l4r5zi", 0, 1, 5) for rule in ("frozen", "bp")]
    ran: list[str] = []
    whole = bench.run

    def counted(configuration: bench.Configuration, *arguments: Any, **options: Any) -> Any:
        ran.append(configuration.name)
        return whole(configuration, *arguments, **options)

    monkeypatch.setattr(bench, "SUITES", {"short": lambda: configurations})
    monkeypatch.setattr(bench, "run", counted)
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
    assert "is made again" in again.err
    assert len(short_suite) == 4
    assert cli.ok("bench", "short", "--json").json == first
    assert len(short_suite) == 4


@pytest.mark.usefixtures("folder")
def test_report_puts_folders_on_one_page(cli: CommandLine, short_suite: list[str]) -> None:
    cli.ok("bench", "short", "-o", "runs")
    assert len(short_suite) == 2
    ended = cli.ok("report", "runs", "runs/report.json", "-o", "page.html", "--json")
    assert ended.json == {"runs": 4, "report": "page.html"}
    assert Path("page.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


# ---------------------------------------------------------------- errors, interruption, whole files


def test_debug_shows_where_and_keeps_the_line(cli: CommandLine) -> None:
    plain, debug = cli("evaluate", "none.onnx", "digits"), cli("evaluate", "none.onnx", "digits", "--debug")
    assert (plain.status, debug.status) == (2, 2)
    assert len(plain.err.splitlines()) == 1
    assert debug.err.startswith("Traceback")
    assert debug.err.endswith(plain.err)


def test_an_unexpected_exception_is_one_line(cli: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(edgeff.train, "train", broken)
    ended = cli("train", "digits", "--network", "64-8-10", "--rule", "bp", "-o", "m.onnx")
    line = "error: unexpected ZeroDivisionError: division\\nby zero; run it again with --debug and report what that prints\n"
    assert (ended.status, ended.err) == (2, line)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 2), (MemoryError(), 2)]
)
def test_a_file_appears_whole_or_not_at_all(
    cli: CommandLine, models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int
) -> None:
    def half(_network: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise raised

    Path("m.onnx").write_bytes(b"earlier")
    monkeypatch.setattr(edgeff.exporters.onnx, "write_onnx", half)
    ended = cli("export", models / "float.onnx", "--to", "onnx", "-o", "m.onnx")
    assert ended.status == status
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("error: ")
    assert Path("m.onnx").read_bytes() == b"earlier"
    assert [path.name for path in folder.iterdir()] == ["m.onnx"]


def test_an_interrupted_build_leaves_nothing(cli: CommandLine, models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        build_project(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeff.simulate.build_project", interrupted)
    ended = cli("build", models / "float.onnx", "--board", "rpi_pico", "-o", "a/b/c")
    assert (ended.status, ended.err) == (130, "error: interrupted: nothing unfinished was kept\n")
    assert list(folder.iterdir()) == []


INTERRUPTING_RULE = """
import signal
from edgeff.rules import Rule, register

@register
class Interrupting(Rule):
    name = "interrupting"

    def step(self, run, x, t):
        signal.raise_signal(signal.SIGINT)
        return {}
"""


def test_control_c_ends_a_process_with_130(folder: Path) -> None:
    """The handler is set anew because a process that was started in the background ignores the signal."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "interrupting.py").write_text(INTERRUPTING_RULE, encoding="utf-8")
    code = "import signal, sys, edgeff.cli; signal.signal(signal.SIGINT, signal.default_int_handler); edgeff.cli.main(sys.argv[1:])"
    arguments = shlex.split("train digits --network 64-32-10 --rule interrupting -o m.onnx")
    done = process("-c", code, *arguments, EDGEFF_PLUGIN_DIR=str(folder / "plugins"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted: nothing unfinished was kept\n")
    assert [path.name for path in folder.iterdir()] == ["plugins"]


def test_a_closed_pipe_is_no_error() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "edgeff", "list", "boards"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=env, timeout=60, check=False)
    os.close(write)
    assert done.stderr == b""


def test_nothing_but_the_result_is_printed_when_nobody_looks(cli: CommandLine, models: Path) -> None:
    assert cli.ok("evaluate", models / "float.onnx", "digits", "--json").err == ""


def test_run_takes_a_sequence_of_any_kind(capsys: pytest.CaptureFixture[str]) -> None:
    runner: Callable[[tuple[str, ...]], int] = run
    assert runner(("list", "targets", "--json")) == 0
    assert json.loads(capsys.readouterr().out)
