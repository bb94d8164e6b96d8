"""The frame of the command line: every command's options and documentation, errors, interruption, whole files."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from command_line import ROOT, CommandLine, process

import edgeff.formats.onnx.writer
import edgeff.train.loop
from edgeff.cli import run
from edgeff.cli.group import COMMANDS, State, group
from edgeff.device.simulate import build_project

DOCUMENTATION = ROOT / "docs" / "commands.md"
COMMON = {"--json", "--seed", "--debug"}
HEAVY = {"numpy", "onnx", "onnxruntime", "ai_edge_litert", "sklearn", "pydantic", "rich", "unicorn", "plotly", "jinja2"}


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
    parts = re.split(r"^## edgeff ([\w-]+)$", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_is_documented_in_the_order_of_the_road() -> None:
    assert [*sections()] == [*COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_examples_that_parse(name: str, folder: Path) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    section = sections()[name]
    options = {o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    assert [option for option in sorted(options - COMMON) if f"`{option}" not in section and f"`{option}`" not in section] == []
    (examples,) = re.findall(r"```sh\n(.+?)\n```", section, re.DOTALL)
    for example in examples.splitlines():
        words = shlex.split(example)
        assert words[:2] == ["edgeff", name]
        with command.make_context(name, words[2:], obj=State()):
            pass
    assert list(folder.iterdir()) == []


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

    monkeypatch.setattr(edgeff.train.loop, "train", broken)
    ended = cli("train", "digits", "--network", "64-8-10", "--rule", "bp", "-o", "m.onnx")
    line = "error: unexpected ZeroDivisionError: division\\nby zero; run it again with --debug and report the output\n"
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
    monkeypatch.setattr(edgeff.formats.onnx.writer, "write_onnx", half)
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

    monkeypatch.setattr("edgeff.device.simulate.build_project", interrupted)
    ended = cli("build", models / "float.onnx", "--board", "rpi_pico", "-o", "a/b/c")
    assert (ended.status, ended.err) == (130, "error: interrupted: unfinished output was discarded\n")
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
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted: unfinished output was discarded\n")
    assert [path.name for path in folder.iterdir()] == ["plugins"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_termination_cleans_up_as_control_c_does(folder: Path, name: str) -> None:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "interrupting.py").write_text(INTERRUPTING_RULE.replace("SIGINT", name), encoding="utf-8")
    code = f"import signal, sys, edgeff.cli; signal.signal(signal.{name}, signal.SIG_DFL); edgeff.cli.main(sys.argv[1:])"
    arguments = shlex.split("train digits --network 64-32-10 --rule interrupting -o m.onnx")
    (folder / "tmp").mkdir()
    done = process("-c", code, *arguments, EDGEFF_PLUGIN_DIR=str(folder / "plugins"), TMPDIR=str(folder / "tmp"))
    status = 128 + signal.Signals[name]
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"error: terminated by {name}: unfinished output was discarded\n")
    assert sorted(path.name for path in folder.iterdir()) == ["plugins", "tmp"]
    assert list((folder / "tmp").iterdir()) == []


BUILDING = """
import os, signal, sys, edgeff.cli, edgeff.device.simulate
real = edgeff.device.simulate.build_project
def build(*arguments, **options):
    real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGTERM)
edgeff.device.simulate.build_project = build
edgeff.cli.main(sys.argv[1:])
"""


def test_a_terminated_build_leaves_nothing(models: Path, folder: Path) -> None:
    (folder / "tmp").mkdir()
    arguments = ("build", str(models / "float.onnx"), "--board", "rpi_pico", "-o", "a/b/c")
    done = process("-c", BUILDING, *arguments, TMPDIR=str(folder / "tmp"))
    assert (done.returncode, done.stderr) == (143, "error: terminated by SIGTERM: unfinished output was discarded\n")
    assert list(folder.iterdir()) == [folder / "tmp"]
    assert list((folder / "tmp").iterdir()) == []


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


ANOMALIES = """
import numpy as np
from edgeff.tasks import Data, Task, register


@register
class Anomalies(Task):
    name, summary, input_shape, classes, metric, target = "anomalies", "twelve numbers", (12,), ("normal", "anomalous"), "auc", "input"

    def load(self, seed=0):
        rng = np.random.default_rng(seed)
        x = np.sin(rng.uniform(0, 6, (300, 1)) + np.arange(12) / 2).astype(np.float32)
        x[250:] = rng.normal(size=(50, 12))
        return Data(x[:200], np.zeros(200, np.int64), x[200:], (np.arange(200, 300) >= 250).astype(np.int64), self.classes)
"""


def test_an_autoencoder_is_measured_on_the_test_part_alone(folder: Path) -> None:
    """Its training part has normal samples only: no area under a curve."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "anomalies.py").write_text(ANOMALIES, encoding="utf-8")
    arguments = ("train", "anomalies", "--network", "12-4-12", "--rule", "bp", "--epochs", "3", "-o", "m.onnx", "--json")
    done = process("-m", "edgeff", *arguments, EDGEFF_PLUGIN_DIR=str(folder / "plugins"))
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["auc"]) == ["test"]
