"""The command line: arguments come in; results go to stdout, progress, notes and refusals to stderr, and an exit status to the caller.

0: done; 1: a check ran and did not hold; 2: refused, with one line ``error: ...``; 130: interrupted; 128 and the signal: terminated, which
cleans up as an interruption does. Nothing heavy is imported before a command needs it.
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
from edgeff.errors import EdgeffError, PassedOver, one_line

__all__ = ["main", "run"]

INTERRUPTED = 130
_shown_by_python = warnings.showwarning
TERMINATIONS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit status."""
    for number in TERMINATIONS:
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has SIGHUP ignored
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
        return _ended(state, f"terminated by {signal.Signals(end.number).name}: nothing unfinished was kept", 128 + end.number)
    except (KeyboardInterrupt, click.Abort):
        return _ended(state, "interrupted: nothing unfinished was kept", INTERRUPTED)
    except EdgeffError as error:
        return _ended(state, str(error), error.exit_code)
    except click.ClickException as error:
        return _ended(state, _usage(error), 2)
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would say so again when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _ended(state, "out of memory; choose a smaller network", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _ended(state, f"{where}{error.strerror or error}", 2)
    except Exception as error:  # noqa: BLE001 - whatever happens, the user gets one line
        return _ended(state, f"unexpected {type(error).__name__}: {error}; run it again with --debug and report what that prints", 2)
    return 0


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """A file that was passed over is a note of one line; other warnings are as Python shows them."""
    if issubclass(category, PassedOver):
        sys.stderr.write(one_line(f"note: passed over: {message}") + "\n")
    else:
        _shown_by_python(message, category, *place, **options)


def _terminate(number: int, _frame: FrameType | None) -> None:
    for other in TERMINATIONS:
        signal.signal(other, signal.SIG_IGN)  # what cleans up is not disturbed again
    raise Terminated(number)


def _usage(error: click.ClickException) -> str:
    """What click says of wrong arguments, as one line that names the help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    said = " ".join(error.format_message().split()).removesuffix(".")
    return f"{said[:1].lower()}{said[1:]}; see `{context.command_path if context else 'edgeff'} --help`"


def _ended(state: State, message: str, status: int) -> int:
    if state.debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {one_line(message)}\n")
    return status
