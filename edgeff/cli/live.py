"""A terminal page of a learning board: figures go in, a page goes out that is drawn anew in its place; lines where it is no terminal."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeff.cli.terminal import cell, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgeff.bench.watch import Watch

DRAWN_EVERY_S = 0.2
SAID_EVERY = 50
"""Steps between two lines where stdout is no terminal."""
_BARS = "▁▂▃▄▅▆▇█"
_WIDE = 40
_WHOLE = re.compile(r"[0-9]{1,18}")
_STATED = ("arena", "stack", "saved", "parameters", "saturated")


@contextmanager
def shown(watch: Watch, evidence: str) -> Iterator[Callable[[], None]]:
    """A function to call after each line: it draws the page when it is time to."""
    if not sys.stdout.isatty():
        yield _sayer(watch)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(page(watch, evidence), console=Console(), auto_refresh=False) as live:
        last = 0.0

        def draw() -> None:
            nonlocal last
            if time.monotonic() - last > DRAWN_EVERY_S:
                last = time.monotonic()
                live.update(page(watch, evidence), refresh=True)

        yield draw
        live.update(page(watch, evidence), refresh=True)


def _sayer(watch: Watch) -> Callable[[], None]:
    said = 0

    def say() -> None:
        nonlocal said
        if watch.steps >= said + SAID_EVERY:
            said = watch.steps
            sys.stdout.write(f"{watch.steps:,} steps, accuracy over the last {watch.samples} samples {percent(watch.accuracy)}\n")

    return say


def figures(watch: Watch) -> dict[str, object]:
    """What is known, by its name."""
    size = {name: int(value) for name in _STATED if _WHOLE.fullmatch(value := watch.state.get(name, ""))}
    return {
        "steps": watch.steps,
        "accuracy": watch.accuracy,
        "samples": watch.samples,
        "step_us": watch.step_us,
        "refused": watch.refused,
        "errors": watch.errors,
        "resets": watch.resets,
        "noise": watch.noise,
        "parameters": size.get("parameters"),
        "saturated": size.get("saturated"),
        **{f"{name}_bytes": size.get(name) for name in ("arena", "stack", "saved")},
    }


def page(watch: Watch, evidence: str) -> RenderableType:
    """The page."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    share = watch.accuracy or 0.0
    bar = Text("█" * round(share * _WIDE), style="green") + Text("─" * (_WIDE - round(share * _WIDE)), style="dim")
    points = watch.curve[:: max(1, -(-len(watch.curve) // _WIDE))]
    curve = "".join(_BARS[min(len(_BARS) - 1, int(value * len(_BARS)))] for value in points)
    table = Table.grid(padding=(0, 2))
    table.add_row("accuracy", bar + Text(f" {percent(watch.accuracy)} of the last {watch.samples}"))
    table.add_row("over time", Text(curve, style="green"))
    values = figures(watch)
    names = (
        "steps",
        "step_us",
        "saturated",
        "parameters",
        "refused",
        "resets",
        "errors",
        "noise",
        "arena_bytes",
        "stack_bytes",
        "saved_bytes",
    )
    for left, right in zip(names[::2], (*names[1::2], ""), strict=True):
        texts = [f"{name.replace('_', ' ')}: {cell(values[name])}" for name in (left, right) if name]
        table.add_row("", Text("   ".join(f"{text:<24}" for text in texts)))
    log = Text("\n".join(watch.lines), style="dim", no_wrap=True, overflow="ellipsis")
    title = f"{watch.name or 'board'} learns {watch.model}, {watch.seconds:.1f} s"
    return Group(Panel(table, title=Text(title)), Panel(log, title="serial line"), Text(f"times: {evidence}", style="dim"))
