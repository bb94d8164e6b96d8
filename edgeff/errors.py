"""The one family of errors: each says what was wrong, what was found, what is allowed and what to do next."""

from __future__ import annotations

import warnings


class EdgeffError(Exception):
    """A refusal a user can act on; the command line prints it as one line and exits with 2.

    ``what`` names the thing refused, ``got`` what was found, ``allowed`` what would have been accepted and ``next_step`` what to do now.
    Parts that do not apply are left empty. Control characters of names that came from outside are escaped, so the message is always
    one line.

    >>> print(EdgeffError("unknown board", got="'arduino'", allowed="rpi_pico", next_step="see `edgeff list boards`"))
    unknown board: got 'arduino'; allowed: rpi_pico; see `edgeff list boards`
    """

    exit_code = 2

    def __init__(self, what: str, *, got: object = "", allowed: object = "", next_step: str = "") -> None:
        self.what, self.got, self.allowed, self.next_step = what, str(got), str(allowed), next_step
        head = f"{what}: got {self.got}" if self.got else what
        parts = [head, f"allowed: {self.allowed}" if self.allowed else "", next_step]
        super().__init__(one_line("; ".join(part for part in parts if part)))


class BadInput(EdgeffError):
    """A file, array or option from outside that cannot be used."""


class Unsupported(EdgeffError):
    """A correct request for something edgeff does not do."""


class DoesNotFit(EdgeffError):
    """A program that is larger than the board's memory."""


class Diverged(EdgeffError):
    """Training whose weights or activations are no longer finite."""


class MissingTool(EdgeffError):
    """A compiler, emulator or library that is not installed."""


class CheckFailed(EdgeffError):
    """A check that ran and did not hold (exit 1)."""

    exit_code = 1


def short(name: object) -> str:
    """``name`` quoted on one line of at most 80 characters, for messages.

    >>> short("a\\nb")
    "'a\\\\nb'"
    """
    return f"'{one_line(str(name), 78)}'"


class PassedOver(UserWarning):
    """A file of a folder that could not be used: the others are."""


def pass_over(error: EdgeffError) -> None:
    """Reports a file that could not be used, once a process; the command line says it as a note."""
    warnings.warn(str(error), PassedOver, stacklevel=2)


class Doubtful(UserWarning):
    """A training run whose result is not what the rule can do, or not worth the rule: the likely cause is said with it."""


def doubt(text: str) -> None:
    """Warns of a doubtful training run; the command line says it as a note."""
    warnings.warn(one_line(text), Doubtful, stacklevel=3)


def one_line(text: str, limit: int = 600) -> str:
    """``text`` with control and non-printable characters escaped, cut to ``limit`` characters.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
