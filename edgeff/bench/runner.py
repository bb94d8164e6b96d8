"""MLPerf Tiny's runs against a board on a serial line: accuracy, performance, and with edgeff's firmware learning.

In comes a board that answers and samples; out goes a record, and a log in the grammar of the official runner's. As there, performance is
the median of five samples, each inferred for at least ten seconds of the board's own clock; what that clock is worth is the ``evidence``.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeff.bench.metrics import area
from edgeff.device.serial.board import Inference, SerialBoard
from edgeff.device.serial.line import Refused
from edgeff.errors import BadInput, CheckFailed
from edgeff.ir import Array

WINDOWS = 5
SECONDS = 10.0
WARMUP = 10
MARGIN = 1.02
"""The factor on the runs that should fill the time, of which a run that was somewhat faster than expected is not repeated."""
MOST_RUNS = 1_000_000
"""What edgeff's firmware takes at once."""
PATIENCE_S = 30.0

Progress = Callable[[str, int, int], None]


def quiet(_what: str, _done: int, _of: int) -> None:
    """A progress callback that shows nothing."""


class RunLog:
    """The lines of a run, each with the seconds since its start: those of the runner, and those on the wire.

    ``also`` is told of each; with ``keeps`` False nothing else is kept of them, for runs that last.

    >>> log = RunLog(clock=lambda: 1.5)
    >>> log.note("Top-1: 90.2%"); log.wire("<", "m-ready")
    >>> log.lines
    ['00000.000 ulp-mlperf: Top-1: 90.2%', '00000.000 dut: m-ready']
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, also: Callable[[str], None] | None = None, *, keeps: bool = True
    ) -> None:
        self.lines: list[str] = []
        self._keeps = keeps
        self._clock, self._start, self._also = clock, clock(), also

    def note(self, text: str) -> None:
        """A line of the runner."""
        self._add("ulp-mlperf", text)

    def wire(self, way: str, text: str) -> None:
        """A line on the wire: to the board (``>``), from it (``<``), or noise (``?``)."""
        self._add({">": "host", "<": "dut"}.get(way, "noise"), text)

    def _add(self, who: str, text: str) -> None:
        line = f"{self._clock() - self._start:09.3f} {who}: {text.encode('ascii', 'backslashreplace').decode()}"
        if self._keeps:
            self.lines.append(line)
        if self._also:
            self._also(line)

    def write(self, path: Path) -> None:
        """Writes the log to a file."""
        path.write_text("\n".join([*self.lines, ""]), encoding="utf-8")


@dataclass(frozen=True)
class Accuracy:
    """The share of samples whose class the board found, and the class it gave each."""

    value: float
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Performance:
    """Inferences per second of each window, and their median."""

    throughputs: tuple[float, ...]
    iterations: tuple[int, ...]

    @property
    def median(self) -> float:
        """Inferences per second."""
        return statistics.median(self.throughputs)

    @property
    def latency_s(self) -> float:
        """Seconds of an inference, by the median."""
        return 1.0 / self.median


@dataclass(frozen=True)
class Learning:
    """Accuracy before and after learning, the steps taken and refused, the median microseconds of one, and the learned state.

    ``state`` is None where the board does not know the command ``save``.
    """

    before: float
    after: float
    steps: int
    refused: int
    step_us: float
    state: bytes | None = field(repr=False)


def accuracy(board: SerialBoard, x: Array, y: Sequence[int] | Array, log: RunLog, progress: Progress = quiet, what: str = "") -> Accuracy:
    """One inference without warm-up on each sample x (n, *shape), whose classes are y (n,). Raises BadInput without samples."""
    if not len(x):
        raise BadInput("samples", got="none", allowed="one or more")
    classes = []
    for number, sample in enumerate(x):
        board.send(sample)
        classes.append(board.infer(1, 0).best)
        progress(what or "accuracy", number + 1, len(x))
    value = sum(int(a) == int(b) for a, b in zip(classes, y, strict=True)) / len(x)
    log.note(f"{what + ': ' if what else ''}Top-1: {100 * value:.1f}%")
    return Accuracy(value, tuple(classes))


def anomalies(board: SerialBoard, x: Array, labels: Array, log: RunLog, progress: Progress = quiet, *, files: Array | None = None) -> float:
    """The area under the curve over samples x (n, *shape), or over recordings ``files`` (n,), whose labels (n,) are 1 for an anomaly.

    The board answers each sample with one number, which is the larger the less it is as those it was trained on. Raises BadInput for a
    board that answers with more, and as ``area`` does.
    """
    scores = []
    for number, sample in enumerate(x):
        board.send(sample)
        outputs = board.infer(1, 0).outputs
        if outputs.size != 1:
            step = "build it as the runner's model: --model-name ad01"
            raise BadInput("answer to a sample", got=f"{outputs.size} numbers", allowed="one, its error", next_step=step)
        scores.append(float(outputs[0]))
        progress("accuracy", number + 1, len(x))
    value = area(np.array(scores), labels, files)
    log.note(f"AUC: {value:.3f}")
    return value


def performance(
    board: SerialBoard, x: Array, log: RunLog, progress: Progress = quiet, *, windows: int = WINDOWS, seconds: float = SECONDS
) -> Performance:
    """The throughput on each of the first ``windows`` samples, inferred for ``seconds`` or more of the board's clock.

    The number of inferences follows from a first one. Raises BadInput for too few samples, CheckFailed where the clock stands still.
    """
    if len(x) < windows:
        raise BadInput("samples of a performance run", got=len(x), allowed=f"{windows} or more")
    throughputs, counts = [], []
    for number, sample in enumerate(x[:windows]):
        log.note(f"Loading file {number} segment 0")
        board.send(sample)
        log.note("Load complete.")
        result = _window(board, seconds)
        elapsed_s = result.elapsed_us / 1e6
        throughputs.append(result.runs / elapsed_s)
        counts.append(result.runs)
        log.note(f"Performance results for window {number + 1}:")
        log.note(f"  # Inferences : {result.runs:>13}")
        log.note(f"  Runtime      : {elapsed_s:>10.3f} sec.")
        log.note(f"  Throughput   : {throughputs[-1]:>10.3f} inf./sec.")
        progress("performance", number + 1, windows)
    log.note(f"Median throughput is {statistics.median(throughputs):>10.3f} inf./sec.")
    return Performance(tuple(throughputs), tuple(counts))


def _window(board: SerialBoard, seconds: float) -> Inference:
    """Inferences that take ``seconds`` or more: of one, then of as many as should, and of more while that was too short."""
    runs, warmup, limit_s = 1, WARMUP, PATIENCE_S
    while True:
        result = board.infer(runs, warmup, limit_s)
        if result.elapsed_us >= seconds * 1e6:
            return result
        if runs >= MOST_RUNS:
            got, allowed = f"{result.elapsed_us} us for {runs:,} inferences", f"{seconds:g} s or more"
            raise CheckFailed("clock of the board", got=got, allowed=allowed, next_step="--seconds asks for less")
        wanted = MARGIN * seconds * 1e6 / max(result.elapsed_us, 1) * runs
        runs = min(MOST_RUNS, max(runs + 1, int(wanted) + 1, 1) if result.elapsed_us > 100 else 100 * runs)
        warmup, limit_s = 0, 2 * seconds + PATIENCE_S


def learning(
    board: SerialBoard,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    log: RunLog,
    progress: Progress = quiet,
) -> Learning:
    """Learns each training sample once, in order, between two accuracies on the test samples.

    ``state`` and ``save`` are optional in a board: without the one the steps are those sent, without the other no state comes back.
    Raises Refused where the model refuses a step: what was learned until then stays on the board.
    """
    before = accuracy(board, *test, log, progress, "before").value
    times = []
    for number, (sample, label) in enumerate(zip(*train, strict=True)):
        board.send(sample)
        times.append(board.learn(int(label)).elapsed_us)
        progress("learning", number + 1, len(train[0]))
    after = accuracy(board, *test, log, progress, "after").value
    counts = "steps" in board.about
    steps, refused = (board.counted("steps"), board.counted("refused")) if counts else (len(times), 0)
    log.note(f"Learned {steps} samples, {refused} refused, {statistics.median(times):.0f} us per step")
    state = None
    with contextlib.suppress(Refused):
        state = board.save()
    return Learning(before, after, steps, refused, statistics.median(times), state)


def stream(board: SerialBoard, x: Array, y: Array, every: int = 20) -> Iterator[int]:
    """Predicts each sample and then learns it, in order; gives how many are done. The board's state is asked for ``every`` so many.

    Refusals of a step are the board's to tell, and do not end the stream.
    """
    for number, (sample, label) in enumerate(zip(x, y, strict=True)):
        board.send(sample)
        board.infer(1, 0)
        with contextlib.suppress(Refused):
            board.learn(int(label))
        if number % every == 0 or number + 1 == len(x):
            board.state()
        yield number + 1
