"""``edgeff monitor``: a page that shows a board learning, live or from a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.options import OutputFile, Real, Whole, common, data
from edgeff.cli.run import classes_of, connected, connection
from edgeff.cli.terminal import print_json, print_line
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.bench.watch import Watch

FASTEST = 1e9
_NO_CLOCK = "as in the log: those of the board's own clock, or of its emulator"


@click.command("monitor", epilog="Example: edgeff monitor digits --board mps2_an386 --firmware fw --record run.log")
@click.argument("task", required=False)
@connection
@click.option("--samples", type=Whole(1, 10**6), help="Training samples to learn from. [default: each one once]")
@click.option("--window", type=Whole(1, 100_000), default=50, show_default=True, help="Samples that accuracy is over.")
@click.option("--record", type=OutputFile(), help="Write every line to this file, as it comes.")
@click.option("--replay", type=click.Path(path_type=Path), help="In the place of a board: show this log, of --record or of `edgeff run`.")
@click.option("--speed", type=Real(0, FASTEST), default=1.0, show_default=True, help="How many times as fast --replay is.")
@data
@common
def command(
    task: str | None,
    port: str | None,
    baud: int,
    board: str | None,
    firmware: Path | None,
    form: str | None,
    samples: int | None,
    window: int,
    record: Path | None,
    replay: Path | None,
    speed: float,
    choices: Mapping[str, str],
    as_json: bool,
    seed: int | None,
) -> None:
    """Show a board learning: it predicts each training sample of TASK and then learns it.

    Accuracy over the last samples, steps, their time, memory, what it refused, and the lines on the wire.
    """
    from edgeff.bench.watch import Watch, recorded

    watch = Watch(window)
    if replay is not None:
        if given := [name for name, value in {"TASK": task, "--port": port, "--board": board, "--record": record}.items() if value]:
            raise BadInput(f"{given[0]} with --replay", got="given", allowed="a log alone", next_step="leave it out")
        _replay(watch, list(recorded(replay)), speed, as_json)
    elif task is None:
        raise BadInput("missing TASK", got="none", allowed="a task to learn, or --replay LOG", next_step="see `edgeff list tasks`")
    else:
        loaded = classes_of(task, choices, seed)
        order = _order(len(loaded.x_train), samples, seed or 0)
        _watch(
            watch, partial(connected, port, baud, board, firmware, form), (loaded.x_train[order], loaded.y_train[order]), record, as_json
        )
    _end(watch, as_json)


def _order(count: int, samples: int | None, seed: int) -> Any:
    """A seeded order of the training samples; one pass, or as many as asked for."""
    import numpy as np

    rng = np.random.default_rng(seed)
    wanted = samples or count
    return np.concatenate([rng.permutation(count) for _ in range(-(-wanted // max(count, 1)))])[:wanted]


def _watch(watch: Watch, connect: Any, train: Any, record: Path | None, as_json: bool) -> None:
    from edgeff.bench.runner import RunLog, stream
    from edgeff.cli.live import shown

    file = record.open("w", encoding="utf-8", buffering=1) if record else None
    drawn: list[Any] = []

    def take(line: str) -> None:
        watch.feed(line)
        if file:
            file.write(line + "\n")
        if drawn:
            drawn[0]()

    try:
        with connect(RunLog(also=take, keeps=False)) as (link, evidence), _page(watch, evidence, as_json, shown) as draw:
            drawn.append(draw)
            for _ in stream(link, *train):
                pass
    finally:
        if file:
            file.close()


def _replay(watch: Watch, lines: list[str], speed: float, as_json: bool) -> None:
    from edgeff.cli.live import shown

    with _page(watch, _NO_CLOCK, as_json, shown) as draw:
        before = None
        for line in lines:
            watch.feed(line)
            draw()
            if before is not None and watch.seconds > before:
                time.sleep((watch.seconds - before) / speed)
            before = watch.seconds


def _page(watch: Watch, evidence: str, as_json: bool, shown: Any) -> Any:
    return contextlib.nullcontext(lambda: None) if as_json else shown(watch, evidence)


def _end(watch: Watch, as_json: bool) -> None:
    from edgeff.cli.live import figures
    from edgeff.cli.terminal import percent

    if as_json:
        print_json({"name": watch.name, "model": watch.model, **figures(watch)})
        return
    refused = f", {watch.refused:,} refused" if watch.refused else ""
    print_line(f"{watch.steps:,} steps{refused}; accuracy over the last {watch.samples} samples: {percent(watch.accuracy)}")
