"""Output for people and machines: tables and JSON on stdout, progress and notes on stderr. Text from files is shown escaped on one line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Any

from edgeff.errors import one_line

if TYPE_CHECKING:
    from edgeff.ir import Cost

Progress = Callable[[int, int], None]
Stages = Callable[[str, int, int], None]
Step = Callable[[str], None]
WIDTH_OF_A_PIPE = 200
GAP = 3
"""Characters between two columns of a table."""
NOTE_EVERY_S = 10.0
"""Seconds between two lines on progress where stderr is no terminal, as in the log of a batch job."""


_announced = False
"""Whether the terminal's last line is an announcement."""


def announce(command: str) -> None:
    """Names a command that may take long on a terminal, at once, until it has something to say or a bar."""
    global _announced  # noqa: PLW0603 - a terminal has one last line
    if sys.stderr.isatty():
        sys.stderr.write(f"edgeff {command} ..\r")
        sys.stderr.flush()
        _announced = True


def clear() -> None:
    """Takes the announcement away, before anything else is printed."""
    global _announced  # noqa: PLW0603 - as above
    if _announced:
        sys.stderr.write("\x1b[2K\r")
        sys.stderr.flush()
        _announced = False


def print_json(value: Any) -> None:
    """Prints ``value`` as JSON."""
    clear()
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_line(text: str) -> None:
    """Prints one line for people."""
    clear()
    sys.stdout.write(one_line(text) + "\n")


def print_note(text: str) -> None:
    """Prints one line that is not a result, such as a warning, to stderr."""
    clear()
    sys.stderr.write(one_line(f"note: {text}") + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table and an empty line; a column of numbers is right-aligned, with thousands separators, None as ``-``.

    Lines break between words. A terminal that is too narrow for the longest words of all columns gets a block of lines for each row.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    clear()
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    texts = [[cell(value) for value in row] for row in rows]
    words = [max(map(_longest_word, (heading, *(row[index] for row in texts))), default=0) for index, heading in enumerate(headings)]
    if texts and sum(words) + GAP * (len(headings) - 1) > console.width:
        for row in texts:
            for text in _block(headings, row):
                console.print(Text(fill(text, console.width, subsequent_indent="    ")))
            console.print()
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, heading in enumerate(headings):
        numbers = all(row[index] is None or (isinstance(row[index], int | float) and not isinstance(row[index], bool)) for row in rows)
        table.add_column(Text(heading), justify="right" if numbers else "left", overflow="fold", min_width=words[index])
    for row in texts:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _block(headings: Sequence[str], row: Sequence[str]) -> list[str]:
    """A row of a table as lines: the first cell, then the others that say something, each after its heading.

    >>> _block(("name", "core", "clock hz"), ("uno", "", "16,000,000"))
    ['uno', '  clock hz: 16,000,000']
    """
    return [row[0] or "-", *(f"  {heading}: {text}" for heading, text in zip(headings[1:], row[1:], strict=True) if text)]


def cell(value: object) -> str:
    """The text of a table's cell.

    >>> cell(12345), cell(None), cell(0.25), cell("a\\nb")
    ('12,345', '-', '0.25', 'a\\\\nb')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else one_line(f"{value:.4g}" if isinstance(value, float) else str(value))


def shape_text(shape: Sequence[int]) -> str:
    """A shape for people.

    >>> shape_text((25, 5, 64)), shape_text(())
    ('25x5x64', '1')
    """
    return "x".join(map(str, shape)) or "1"


def measure_text(metric: str, value: float) -> str:
    """A measured value as people read it: shares in per cent, areas under a curve with three digits, errors with four."""
    return f"{value:.4g}" if metric == "mse" else f"{value:.3f}" if metric == "auc" else percent(value)


def percent(share: float | None) -> str:
    """A share between 0 and 1 for people.

    >>> percent(0.9625)
    '96.2 %'
    """
    return "-" if share is None else f"{100 * share:.1f} %"


def taken(cost: Cost) -> str:
    """The time of a line, and its energy where the board file gives the core's current.

    >>> from edgeff.ir import Cost
    >>> taken(Cost(latency_s=0.0007, energy_j=0.0000281)), taken(Cost())
    ('0.700 ms and 28.1 uJ, modelled', 'unknown')
    """
    if cost.latency_s is None:
        return "unknown"
    energy = "" if cost.energy_j is None else f" and {1e6 * cost.energy_j:,.1f} uJ"
    return f"{1e3 * cost.latency_s:.3f} ms{energy}, modelled"


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A function ``(done, total)`` that moves a bar on stderr; if stderr is not a terminal it does nothing."""
    with stages(what) as report:
        yield lambda done, total: report(what, done, total)


@contextmanager
def stages(first: str = "beginning") -> Iterator[Stages]:
    """A function ``(what, done, total)`` that moves a bar on stderr and names the current stage; nothing if stderr is not a terminal."""
    clear()
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(file=sys.stderr), transient=True) as bars:
        bar = bars.add_task(first, total=None)
        yield lambda what, done, total: bars.update(bar, description=what, completed=done, total=total)


@contextmanager
def counted(done: int, total: int, clock: Callable[[], float] = time.monotonic) -> Iterator[Step]:
    """A function ``(what)`` that counts one more of ``total``, ``done`` of which were there before, and says how long the rest may take.

    A bar on a terminal; elsewhere a line at most every ``NOTE_EVERY_S``, and one for the first and the last.
    """
    count, began, last = done, clock(), -NOTE_EVERY_S
    with stages() as report:
        report("", done, total)

        def step(what: str) -> None:
            nonlocal count, last
            count += 1
            now = clock()
            text = f"{count:,} of {total:,}, {remaining(count - done, total - count, now - began)}: {what}"
            report(text, count, total)
            if not sys.stderr.isatty() and (now - last >= NOTE_EVERY_S or count == total):
                last = now
                print_note(text)

        yield step


def remaining(done: int, left: int, elapsed_s: float) -> str:
    """How long ``left`` things may take when ``done`` took ``elapsed_s`` seconds.

    >>> remaining(2, 100, 30.0), remaining(10, 5, 8.0), remaining(1, 9, 3600.0), remaining(3, 0, 1.0)
    ('about 25 min left', 'about 4 s left', 'about 9 h 0 min left', 'done')
    """
    if not left:
        return "done"
    seconds = elapsed_s / done * left
    if seconds < 60:
        return f"about {seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min left"
