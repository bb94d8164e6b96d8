"""``edgeff run``: MLPerf Tiny's runs against a board on a serial line, real or emulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeff.cli.models import find_task
from edgeff.cli.options import OneOf, OutputFile, Real, Whole, common, data
from edgeff.cli.terminal import percent, print_json, print_line, print_table, stages
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.bench.runner import RunLog
    from edgeff.device.serial.board import SerialBoard
    from edgeff.tasks import Data

KINDS = ("accuracy", "performance", "learn")
ELF = "firmware.elf"
F = TypeVar("F", bound=Callable[..., Any])


def connection(function: F) -> F:
    """A command with the options that name a board on a serial line: ``port``, ``baud``, ``board``, ``firmware`` and ``form``."""
    for option in (
        click.option("--input", "form", help="How samples go to firmware that does not say it: float32, or int8,SCALE,ZERO."),
        click.option(
            "--firmware", type=click.Path(path_type=Path), help="What the emulated board runs: the folder that `edgeff build` wrote."
        ),
        click.option("--board", help="In the place of --port: emulate this board with its serial line; see `edgeff list boards`."),
        click.option("--baud", type=Whole(300, 4_000_000), default=115_200, show_default=True, help="Baud rate of the port."),
        click.option("--port", help="The serial port of the board: /dev/ttyACM0, COM3, or a URL such as socket://host:port."),
    ):
        function = option(function)
    return function


@click.command("run", epilog="Example: edgeff run accuracy digits --board mps2_an386 --firmware fw")
@click.argument("kind", type=OneOf("run", KINDS))
@click.argument("task")
@connection
@click.option("--samples", type=Whole(1, 10**6), help="Training samples to learn from. [default: each one once]")
@click.option("--test-samples", type=Whole(1, 10**6), help="Test samples. [default: all]")
@click.option("--windows", type=Whole(1, 1000), default=5, show_default=True, help="Samples of a performance run.")
@click.option("--seconds", type=Real(0, 3600), default=10.0, show_default=True, help="Least time on each, by the board's clock.")
@click.option("--rate", type=Real(0, 1), help="The learning rate from now on, relative to the program's own. [default: as it is]")
@click.option(
    "--load", "restore", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A state that the board restores first."
)
@click.option("--save", "state", type=OutputFile(), help="Write what was learned to this file, as `edgeff state` reads it.")
@click.option("-o", "--log", "log_file", type=OutputFile(), help="Write the log of the run to this file.")
@data
@common
def command(
    kind: str,
    task: str,
    port: str | None,
    baud: int,
    board: str | None,
    firmware: Path | None,
    form: str | None,
    samples: int | None,
    test_samples: int | None,
    windows: int,
    seconds: float,
    rate: float | None,
    restore: Path | None,
    state: Path | None,
    log_file: Path | None,
    choices: Mapping[str, str],
    as_json: bool,
    seed: int | None,
) -> None:
    """Drive a board by MLPerf Tiny's serial protocol: accuracy, performance, or what it learns.

    Performance is the median of five samples, each inferred for at least 10 s of the board's own clock. An emulated board's clock counts
    instructions: its times are no measurement.
    """
    from edgeff.bench.runner import RunLog, anomalies

    loaded = classes_of(task, choices, seed) if kind == "learn" else _data(task, choices, seed)
    saved = restore.read_bytes() if restore else b""
    log = RunLog()
    try:
        with connected(port, baud, board, firmware, form, log) as (link, evidence), stages() as report:
            result: dict[str, Any] = {"kind": kind, "task": task, "name": link.name, "model": link.model, "evidence": evidence}
            x, y = loaded.x_test[:test_samples], loaded.y_test[:test_samples]
            if saved:
                link.load(saved)
            if rate is not None:
                link.rate(rate)
            if kind == "accuracy" and find_task(task, choices).metric == "auc":
                files = None if loaded.files_test is None else loaded.files_test[:test_samples]
                result |= {"auc": anomalies(link, x, y, log, report, files=files), "samples": len(x)}
            elif kind == "accuracy":
                result |= _accuracy(link, x, y, log, report)
            elif kind == "performance":
                result |= _performance(link, x, log, report, windows, seconds)
            else:
                train = loaded.x_train[:samples], loaded.y_train[:samples]
                result |= _learn(link, train, (x, y), log, report, state)
    finally:
        if log_file is not None:
            log.write(log_file)
    if as_json:
        print_json(result)
        return
    shown = {key: value for key, value in result.items() if key not in ("kind", "task", "evidence", "throughputs", "iterations")}
    print_table([key.replace("_", " ") for key in shown], [[_text(key, value) for key, value in shown.items()]])
    print_line(f"{kind} on {task}; times: {evidence}")


def _data(task: str, choices: Mapping[str, str], seed: int | None) -> Data:
    """The data of a task of classes, or of anomalies, split by ``seed``. Raises BadInput for any other."""
    item = find_task(task, choices)
    if item.metric not in ("accuracy", "auc"):
        raise BadInput(f"task {task}", got=f"the measure {item.metric}", allowed="a task of classes or of anomalies")
    return item.load(seed or 0)


def classes_of(task: str, choices: Mapping[str, str], seed: int | None) -> Data:
    """The data of a task whose measure is accuracy, split by ``seed``. Raises BadInput for any other."""
    item = find_task(task, choices)
    if item.metric != "accuracy":
        raise BadInput(f"task {task}", got=f"the measure {item.metric}", allowed="a task of classes, told by accuracy")
    return item.load(seed or 0)


@contextmanager
def connected(
    port: str | None, baud: int, board: str | None, firmware: Path | None, form: str | None, log: RunLog
) -> Iterator[tuple[SerialBoard, str]]:
    """The board on a port, or emulated, and what its times are worth. Raises BadInput unless exactly one of the two is named."""
    from edgeff.device.boards import load_board
    from edgeff.device.serial.board import input_format
    from edgeff.device.serial.emulated import PATIENCE, emulated
    from edgeff.device.serial.emulated import evidence as emulated_evidence
    from edgeff.device.targets.serial import SerialTarget

    chosen = None if form is None else input_format(form)
    if (port is None) == (board is None):
        got = "neither --port nor --board" if port is None else "--port and --board"
        raise BadInput("the board to run on", got=got, allowed="--port P, or --board B --firmware DIR")
    if port is not None:
        with SerialTarget(port, baud, chosen, log.wire) as target:
            yield target.board, "the board's own clock"
        return
    assert board is not None  # noqa: S101 - one of the two is given
    machine = load_board(board)
    with emulated(find_elf(firmware), machine) as terminal, SerialTarget(terminal, baud, chosen, log.wire, PATIENCE) as target:
        yield target.board, emulated_evidence(machine)


def find_elf(firmware: Path | None) -> Path:
    """The ELF of a folder that ``edgeff build`` wrote, of a project in it, or the ELF itself."""
    step = "edgeff build m.onnx --board B --template serial -o fw"
    if firmware is None:
        raise BadInput("missing --firmware", got="none", allowed="the folder that `edgeff build --template serial` wrote", next_step=step)
    for path in (firmware, firmware / ELF, firmware / "firmware" / ELF):
        if path.is_file():
            return path
    raise BadInput(f"firmware {firmware}", got="no firmware.elf", allowed="the folder that `edgeff build` wrote", next_step=step)


def _accuracy(link: SerialBoard, x: Any, y: Any, log: RunLog, report: Any) -> dict[str, Any]:
    from edgeff.bench.runner import accuracy

    return {"accuracy": accuracy(link, x, y, log, report).value, "samples": len(x)}


def _performance(link: SerialBoard, x: Any, log: RunLog, report: Any, windows: int, seconds: float) -> dict[str, Any]:
    from edgeff.bench.runner import performance

    run = performance(link, x, log, report, windows=windows, seconds=seconds)
    figures: dict[str, Any] = {"throughput": run.median, "latency_s": run.latency_s}
    return figures | {"throughputs": [*run.throughputs], "iterations": [*run.iterations]}


def _learn(link: SerialBoard, train: Any, test: Any, log: RunLog, report: Any, state: Path | None) -> dict[str, Any]:
    from edgeff.bench.runner import learning

    run = learning(link, train, test, log, report)
    if state is not None:
        if run.state is None:
            raise BadInput(f"--save {state}", got=f"a board ({link.name}) that refuses `save`", allowed="one that knows it")
        state.write_bytes(run.state)
    figures: dict[str, Any] = {"before": run.before, "after": run.after, "steps": run.steps, "refused": run.refused}
    return figures | {"step_us": run.step_us, "saved_bytes": None if run.state is None else len(run.state), "samples": len(test[0])}


def _text(key: str, value: Any) -> Any:
    return percent(value) if key in ("accuracy", "before", "after") else value
