"""The command line: arguments come in; results go to stdout, progress, notes and refusals to stderr, and an exit status to the caller.

0: done; 1: a check ran and failed; 2: refused, with one line ``error: ...``; 130: interrupted; 128 plus the signal: terminated, which
cleans up like an interruption. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from edgeff.cli.group import State, group
from edgeff.cli.terminal import clear
from edgeff.errors import Doubtful, EdgeffError, PassedOver, one_line

__all__ = ["main", "run"]

INTERRUPTED = 130
_shown_by_python = warnings.showwarning
TERMINATIONS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """A signal told the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit status; a shell that asks how a line goes on is answered."""
    if instruction := os.environ.get("_EDGEFF_COMPLETE"):
        from edgeff.cli.completion import complete

        sys.exit(complete(group, instruction))
    for number in TERMINATIONS:
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _terminate)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """The exit status of the command line ``arguments`` (without the program's name). Raises nothing.

    >>> run(["list", "targets", "--json"])  # doctest: +ELLIPSIS
    [...
    0
    """
    state = State()
    warnings.showwarning = _show_warning
    try:
        with group.make_context("edgeff", [*arguments], obj=state) as context:
            group.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except Terminated as end:
        return _ended(state, f"terminated by {signal.Signals(end.number).name}: unfinished output was discarded", 128 + end.number)
    except (KeyboardInterrupt, click.Abort):
        return _ended(state, "interrupted: unfinished output was discarded", INTERRUPTED)
    except EdgeffError as error:
        return _ended(state, str(error), error.exit_code)
    except click.ClickException as error:
        return _ended(state, _usage(error), 2)
    except BrokenPipeError:
        # The reader of a pipe is gone; Python would report it again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _ended(state, "out of memory; choose a smaller network", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _ended(state, f"{where}{error.strerror or error}", 2)
    except Exception as error:  # noqa: BLE001 - whatever happens, the user gets one line
        return _ended(state, f"unexpected {type(error).__name__}: {error}; run it again with --debug and report the output", 2)
    return 0


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """A skipped file and a doubtful run are notes of one line; other warnings are shown as by Python."""
    if issubclass(category, PassedOver | Doubtful):
        clear()
        what = "skipped: " if issubclass(category, PassedOver) else ""
        sys.stderr.write(one_line(f"note: {what}{message}") + "\n")
    else:
        _shown_by_python(message, category, *place, **options)


def _terminate(number: int, _frame: FrameType | None) -> None:
    for other in TERMINATIONS:
        signal.signal(other, signal.SIG_IGN)  # the clean-up is not interrupted again
    raise Terminated(number)


def _usage(error: click.ClickException) -> str:
    """click's message on wrong arguments, as one line that names the help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    text = " ".join(error.format_message().split()).removesuffix(".")
    return f"{text[:1].lower()}{text[1:]}; see `{context.command_path if context else 'edgeff'} --help`"


def _ended(state: State, message: str, status: int) -> int:
    clear()
    if state.debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {one_line(message)}\n")
    return status
