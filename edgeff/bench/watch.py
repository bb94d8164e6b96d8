"""What a learning board does, from the lines of its log: the same live, and from a log that was recorded.

In come lines as ``RunLog`` writes them; out goes what a page shows: steps, accuracy over the last samples (each predicted before it was
learned), the time of a step by the board's clock, memory, refusals and noise. Lines that say nothing of it are passed over.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgeff.errors import BadInput

WINDOW = 50
LINES = 8
_LINE = re.compile(r"([0-9]{5,12}\.[0-9]{3}) (host|dut|noise|ulp-mlperf): (.*)")
_RESULTS = re.compile(r"m-results-\[([^]]+)\]")
_LAP = re.compile(r"m-lap-us-([0-9]{1,20})")
_STATE = re.compile(r"m-state-\[([^]]*)\]")
_LEARN = re.compile(r"learn ([0-9]{1,9})( [0-9]{1,9})?")
_LARGEST_LOG_BYTES = 1 << 30


@dataclass
class Watch:
    """The figures so far. ``window`` is over how many samples accuracy is told.

    >>> watch = Watch(window=2)
    >>> for text in ("host: infer 1 0", "dut: m-results-[0.1,0.9]", "host: learn 1 1", "dut: m-lap-us-10", "dut: m-lap-us-30",
    ...              "dut: m-learn-done"):
    ...     watch.feed(f"00001.000 {text}")
    >>> watch.steps, watch.accuracy, watch.step_us
    (1, 1.0, 20)
    """

    window: int = WINDOW
    name: str = ""
    model: str = ""
    seconds: float = 0.0
    steps: int = 0
    refused: int = 0
    errors: int = 0
    noise: int = 0
    resets: int = 0
    step_us: int | None = None
    state: dict[str, str] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    _hits: deque[bool] = field(default_factory=deque)
    _predicted: int | None = None
    _label: int | None = None
    _lap: int | None = None

    @property
    def accuracy(self) -> float | None:
        """The share of the last samples that the board predicted before it learned them; None before the first."""
        return sum(self._hits) / len(self._hits) if self._hits else None

    @property
    def samples(self) -> int:
        """Over how many samples ``accuracy`` is."""
        return len(self._hits)

    def feed(self, line: str) -> None:
        """Takes a line of a log."""
        match = _LINE.fullmatch(line.rstrip("\n"))
        if match is None:
            return
        self.seconds, who, text = float(match[1]), match[2], match[3]
        self.lines.append(f"{who}: {text}")
        if who == "host":
            self._command(text)
        elif who == "dut":
            self._answer(text)
        elif who == "noise":
            self.noise += 1

    def _command(self, text: str) -> None:
        learn = _LEARN.fullmatch(text)
        self._label, self._lap = (int(learn[1]) if learn else None), None
        if text.startswith("db load"):
            self._predicted = None

    def _answer(self, text: str) -> None:
        if text.startswith("m-name-dut-["):
            self.name = text[12:-1]
        elif text.startswith("m-model-["):
            self.model = text[9:-1]
        elif text.startswith("m-timestamp-mode-"):
            self.resets += bool(self.name)  # the first start is none
        elif text.startswith("e-["):
            self.refused += self._label is not None
            self.errors += self._label is None and "Unknown command: sync" not in text
            self._label = None
        elif match := _STATE.fullmatch(text):
            pairs = (pair.partition("=") for pair in match[1].split(","))
            self.state = {key: value for key, _, value in pairs}
        elif match := _RESULTS.fullmatch(text):
            with contextlib.suppress(ValueError):  # a line that noise has changed
                values = [float(value) for value in match[1].split(",") if value.strip()]
                self._predicted = values.index(max(values))
        elif self._label is not None:
            self._learning(text)

    def _learning(self, text: str) -> None:
        if match := _LAP.fullmatch(text):
            if self._lap is not None:
                self.step_us = int(match[1]) - self._lap
            self._lap = int(match[1])
        elif text == "m-learn-done":
            self.steps += 1
            if self._predicted is not None:
                self._hits.append(self._predicted == self._label)
                if len(self._hits) > self.window:
                    self._hits.popleft()
                self.curve.append(self.accuracy or 0.0)
            self._label = self._predicted = None


def recorded(path: Path) -> Iterable[str]:
    """The lines of a log. Raises BadInput for a file that cannot be read or holds none."""
    try:
        if path.stat().st_size > _LARGEST_LOG_BYTES:
            raise BadInput(f"log {path}", got="more than 1 GiB", allowed="a log of `edgeff monitor --record` or `edgeff run -o`")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadInput(f"log {path}", got=error.strerror or str(error), allowed="a readable file") from None
    if not any(map(_LINE.fullmatch, lines)):
        raise BadInput(f"log {path}", got="no line of a run", allowed="a log of `edgeff monitor --record` or `edgeff run -o`")
    return lines
