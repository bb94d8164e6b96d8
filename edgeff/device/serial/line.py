"""A serial line: commands go out, replies come in, and what goes wrong on the way ends in one clear line.

A command ends in ``%``; a reply is the lines up to ``m-ready``. Told apart: a board that is silent, one that stops within a line, one that
resets in the middle of a command, and noise, which is passed over where it is a line of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeff.errors import BadInput, EdgeffError, short

if TYPE_CHECKING:
    import serial

BAUD = 115_200
ANSWER_LIMIT_S = 5.0
"""Seconds without a line of a reply after which a command is given up, as in MLPerf Tiny's runner."""
SYNC_EVERY_S = 1.0
"""Seconds after which a word that a board did not echo is sent again: it may just have started."""
READY = "m-ready"
_LINE_LIMIT_BYTES = 1 << 22
_POLL_S = 0.05
_OURS = re.compile(r"[me]-")
_BOOT = re.compile(r"m-timestamp-mode-(performance|energy)")

Log = Callable[[str, str], None]
"""Told of every line: which way it went (``>`` to the board, ``<`` from it, ``?`` noise), and the line."""


class Refused(EdgeffError):
    """A command that the board answered with an error of its own."""


class Line:
    """An open line. ``name`` is said in errors; ``log`` is told of every line.

    ``patience`` is a factor on every time limit: an emulated board takes longer than its own clock says.
    """

    def __init__(self, port: serial.Serial, name: str, log: Log | None = None, patience: float = 1.0) -> None:
        self.name, self.patience = name, patience
        self._port, self._log = port, log or (lambda _way, _text: None)
        self._received = bytearray()
        self._synchronised = False

    def ask(self, command: str, limit_s: float = ANSWER_LIMIT_S) -> list[str]:
        """The lines of the reply to ``command``, without noise and the last, ``m-ready``.

        ``limit_s``: seconds that may pass without a line of the reply. Raises Refused where the board answers with an error (``e-[...]``),
        EdgeffError where it does not answer, stops within a line, resets or is gone.
        """
        if not self._synchronised:
            self.synchronise()
        return self._ask(command, limit_s)

    def synchronise(self) -> None:
        """Waits until the board takes a whole command: after a half one, noise, or a start that the opening of the line caused.

        By words that it does not know, each another, until it says so of one: then all earlier replies are behind it. Raises EdgeffError
        where it does not answer.
        """
        end = time.monotonic() + ANSWER_LIMIT_S * self.patience
        for number in itertools.count(1):
            word = f"sync{number}"
            self._write(word)
            try:
                while word not in self._line(word, SYNC_EVERY_S, scaled=False):
                    pass
                while self._line(word, SYNC_EVERY_S, scaled=False) != READY:
                    pass
            except _Silent:
                if time.monotonic() > end:
                    raise
                continue
            self._synchronised = True
            return

    def _ask(self, command: str, limit_s: float) -> list[str]:
        self._write(command)
        lines: list[str] = []
        while True:
            line = self._line(command, limit_s, begun=bool(lines))
            if line == READY:
                break
            if _BOOT.fullmatch(line):
                self._synchronised = False
                raise EdgeffError(f"board on {self.name}", got=f"a reset during {short(command)}", next_step="start the run again")
            lines.append(line)
        if refused := [line for line in lines if line.startswith("e-")]:
            raise Refused(f"board on {self.name}, command {short(command)}", got=refused[0])
        return lines

    def _write(self, command: str) -> None:
        self._log(">", command)
        try:
            self._port.write(f"{command}%".encode())
        except OSError as error:
            raise self._gone(error) from None

    def _line(self, command: str, limit_s: float, *, begun: bool = False, scaled: bool = True) -> str:
        """The next line of the protocol, of a reply of which some have come if it has ``begun``; noise before it is passed over."""
        limit_s *= self.patience if scaled else min(self.patience, 1.0)
        end = time.monotonic() + limit_s
        while True:
            while (place := self._received.find(b"\n")) >= 0:
                line = self._received[:place].decode("ascii", "replace").strip("\r\0 ")
                del self._received[: place + 1]
                if line:
                    self._log("<" if _OURS.match(line) else "?", line)
                if _OURS.match(line):
                    return line
            if time.monotonic() > end or len(self._received) > _LINE_LIMIT_BYTES:
                self._synchronised = False
                raise self._silence(command, limit_s, begun)
            self._read()

    def _read(self) -> None:
        try:
            self._received += self._port.read(max(1, self._port.in_waiting))
        except OSError as error:  # pyserial's SerialException is one
            raise self._gone(error) from None

    def _silence(self, command: str, limit_s: float, begun: bool) -> EdgeffError:
        text = self._received.decode("ascii", "replace").strip("\r\0 ")
        self._received.clear()
        got = f"half a line, {short(text)}, and then nothing" if text else f"an answer without {READY}" if begun else "no answer"
        step = "look whether it runs, and whether port and --baud are right"
        return _Silent(f"board on {self.name}", got=f"{got} within {limit_s:g} s after {short(command)}", next_step=step)

    def _gone(self, error: OSError) -> EdgeffError:
        self._synchronised = False
        return EdgeffError(f"board on {self.name}", got=f"the line is gone: {error.strerror or error}", next_step="plug it in again")

    def close(self) -> None:
        """Closes the port."""
        with contextlib.suppress(OSError):
            self._port.close()


class _Silent(EdgeffError):
    """A board that does not answer."""


def open_line(port: str, baud: int = BAUD, log: Log | None = None, patience: float = 1.0) -> Line:
    """The line on ``port``: a device such as /dev/ttyACM0 or COM3, or a URL of pyserial such as socket://host:port.

    Raises BadInput, with the ports there are, where it cannot be opened.
    """
    import serial

    try:
        opened = serial.serial_for_url(port, baudrate=baud, timeout=_POLL_S, write_timeout=ANSWER_LIMIT_S)
    except (OSError, ValueError) as error:
        raise _unopened(port, error) from None
    return Line(opened, port, log, patience)


def _unopened(port: str, error: Exception) -> BadInput:
    from serial.tools import list_ports

    known = ", ".join(sorted(item.device for item in list_ports.comports())) or "none is connected"
    text = str(error)
    denied = "ermission" in text
    step = "add yourself to the group of the device: sudo usermod -a -G dialout $USER, then log in again" if denied else ""
    reason = "no permission" if denied else "no such port" if "No such file" in text else text
    return BadInput(f"serial port {port}", got=reason, allowed=f"a port of this machine: {known}", next_step=step)
