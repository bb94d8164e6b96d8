"""Traces -> choices: one line for every program on every board, over its seeds, with the best trade-offs first.

A choice is on the front of its place (a task on a board) when no other there is at least as accurate in no more RAM, and better in one of
the two. Programs that only predict and programs that learn have fronts of their own. A control of the same numeric on the same board is
what the difference is to, seed by seed. Runs that differ in their remarks alone (such as the rounding of updates) are choices of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from edgeff.bench.statistics import Difference, Summary, paired_difference, summary
from edgeff.ir import Memory, Trace
from edgeff.report.comparison import DIVERGED
from edgeff.report.rows import Form, Value, reached
from edgeff.report.style import CONTROL, NO_RULE

Key = tuple[str, str, str, str, str | None, str, int]
KINDS = ("task", "network", "rule", "numeric", "board")
"""What choices are filtered by."""


@dataclass(frozen=True)
class Choice:
    """One program on one board: its runs by seed, their accuracies in per cent, the difference to the control; ``best``: on the front."""

    traces: tuple[Trace, ...]
    accuracy: Summary
    above: Difference | None = None
    best: bool = False
    variant: str = ""

    @property
    def first(self) -> Trace:
        """The first run that has figures, which names the choice."""
        return next((trace for trace in self.traces if not trace.refused), self.traces[0])

    @property
    def rule(self) -> str:
        """The rule for people, with what tells a variant of its runs from others."""
        return f"{self.of('rule')} ({self.variant})" if self.variant else self.of("rule")

    @property
    def place(self) -> tuple[object, ...]:
        """Choices of one place can replace each other: the same task on the same board, learning or not."""
        return self.first.task, self.first.board, self.first.target, self.first.rule in NO_RULE

    @property
    def mean(self) -> float | None:
        """The mean accuracy over the seeds that ended, in per cent."""
        return fmean(self.accuracy.values) if self.accuracy.values else None

    @property
    def ram_bytes(self) -> int | None:
        """The total RAM, or the arena alone for a program that was not built for a board."""
        total = self.most(lambda memory: memory.total_ram_bytes)
        return self.most(lambda memory: memory.arena_bytes) if total is None else total

    def most(self, part: Callable[[Memory], int | None]) -> int | None:
        """The largest over the seeds of one part of the memory, in bytes."""
        return max((size for trace in self.traces if (size := part(trace.memory)) is not None), default=None)

    def slowest(self, line: str) -> float | None:
        """The longest time of one line over the seeds, in seconds."""
        times = (trace.line(line).cost.latency_s for trace in self.traces)
        return max((time for time in times if time is not None), default=None)

    def of(self, kind: str) -> str:
        """What the choice has of one of ``KINDS``; the target for the board of a program that has none."""
        if kind == "board":
            return self.first.board or self.first.target
        return "inference" if kind == "rule" and self.first.rule in NO_RULE else str(getattr(self.first, kind))


@dataclass(frozen=True)
class Column:
    """A column of choices: its group and heading for people, its name with the unit for CSV, its format, its value, its kind of figure."""

    group: str
    head: str
    name: str
    form: Form
    value: Callable[[Choice], Value]
    figure: str = ""


def _deviation(choice: Choice) -> float | None:
    return stdev(choice.accuracy.values) if len(choice.accuracy.values) > 1 else None


def _interval(sign: int) -> Callable[[Choice], float | None]:
    def bound(choice: Choice) -> float | None:
        above = choice.above
        return None if above is None or above.half is None else above.mean + sign * above.half

    return bound


COLUMNS = (
    Column("", "task", "task", "text", lambda c: c.of("task")),
    Column("", "network", "network", "text", lambda c: c.of("network")),
    Column("", "rule", "rule", "text", lambda c: c.rule),
    Column("", "numeric", "numeric", "text", lambda c: c.of("numeric")),
    Column("", "board", "board", "text", lambda c: c.of("board")),
    Column("", "Pareto", "pareto", "text", lambda c: "yes" if c.best else "no"),
    Column("accuracy, %", "mean", "accuracy_percent", "decimal", lambda c: c.mean, "accuracy"),
    Column("accuracy, %", "deviation", "accuracy_deviation_points", "decimal", _deviation, "accuracy"),
    Column("accuracy, %", "seeds", "seeds", "count", lambda c: len(c.accuracy.values)),
    Column("accuracy, %", "diverged", "diverged", "count", lambda c: c.accuracy.diverged),
    Column("above frozen, points", "mean", "above_frozen_points", "signed", lambda c: c.above.mean if c.above else None, "accuracy"),
    Column("above frozen, points", "from", "above_frozen_low_points", "signed", _interval(-1), "accuracy"),
    Column("above frozen, points", "to", "above_frozen_high_points", "signed", _interval(1), "accuracy"),
    Column("bytes", "RAM total", "ram_total_bytes", "count", lambda c: c.most(lambda memory: memory.total_ram_bytes), "memory"),
    Column("bytes", "arena", "arena_bytes", "count", lambda c: c.most(lambda memory: memory.arena_bytes), "memory"),
    Column("bytes", "flash", "flash_bytes", "count", lambda c: c.most(lambda memory: memory.flash_bytes), "memory"),
    Column("ms", "learning step", "learning_step_s", "ms", lambda c: c.slowest("learn"), "cycles"),
    Column("ms", "inference", "inference_s", "ms", lambda c: c.slowest("infer"), "cycles"),
)


def known_columns(chosen: Sequence[Choice]) -> tuple[Column, ...]:
    """The columns that say something: a name that differs, a figure that is known; the arena only where a total is not."""
    return tuple(column for column in COLUMNS if _says_something(column, [column.value(choice) for choice in chosen], chosen))


def _says_something(column: Column, values: Sequence[Value], chosen: Sequence[Choice]) -> bool:
    if column.name in KINDS:
        return column.name == "rule" or len(set(values)) > 1
    if column.name == "diverged":
        return any(values)
    if column.name == "arena_bytes" and all(choice.most(lambda memory: memory.total_ram_bytes) is not None for choice in chosen):
        return False
    return any(value is not None for value in values)


def choices(traces: Iterable[Trace]) -> tuple[Choice, ...]:
    """The choices by task and board, those on the front first, from the most accurate down. Runs that never started are left out."""
    members: dict[Key, list[Trace]] = {}
    for trace in traces:
        if not trace.refused or DIVERGED in trace.refused:
            _add(members, trace)
    by_key = {key: _by_seed(runs) for key, runs in members.items()}
    found = []
    for key, runs in members.items():
        accuracy = by_key[key]
        control = by_key.get(_key(runs[0], CONTROL, 0))
        above = None if control is None or runs[0].rule in {CONTROL, *NO_RULE} else paired_difference(accuracy, control)
        known = any(value is not None for value in accuracy.values()) or any(run.refused for run in runs)
        variant = _variant(runs[0], members[_key(runs[0], runs[0].rule, 0)][0], key[-1])
        found.append(Choice(tuple(runs), summary(accuracy) if known else Summary(()), above, variant=variant))
    places = list(dict.fromkeys(choice.place for choice in found))
    best = {id(choice) for place in places for choice in front([c for c in found if c.place == place])}
    marked = [replace(choice, best=id(choice) in best) for choice in found]
    return tuple(sorted(marked, key=lambda c: (places.index(c.place), not c.best, 1.0 if c.mean is None else -c.mean, c.ram_bytes or 0)))


def front(place: Sequence[Choice]) -> list[Choice]:
    """Those of one place that no other beats in accuracy and RAM; a choice of which one of them is unknown is not on it."""
    known = [(c.mean, c.ram_bytes, c) for c in place if c.mean is not None and c.ram_bytes is not None]
    return [
        choice
        for mean, ram, choice in known
        if not any((other >= mean and less <= ram) and (other > mean or less < ram) for other, less, _ in known)
    ]


def _add(members: dict[Key, list[Trace]], trace: Trace) -> None:
    """Puts a run where there is none of its seed yet; the same run of a second folder is left out."""
    number = 0
    while True:
        runs = members.setdefault(_key(trace, trace.rule, number), [])
        if trace in runs:
            return
        if all(run.seed != trace.seed for run in runs):
            runs.append(trace)
            return
        number += 1


def _key(trace: Trace, rule: str, number: int) -> Key:
    return trace.task, trace.network, rule, trace.numeric, trace.board, trace.target, number


def _variant(run: Trace, plain: Trace, number: int) -> str:
    """What tells the ``number``-th variant of a choice from the plain one: its own remarks, or its number."""
    own = [remark for remark in run.remarks if remark not in plain.remarks]
    return "" if not number else "; ".join(own) or f"variant {number + 1}"


def _by_seed(runs: Iterable[Trace]) -> dict[int, float | None]:
    """The accuracy of each run in per cent, on the device where it is known there; None for a run that diverged."""
    known: dict[int, float | None] = {}
    for run in runs:
        share = reached(run)
        share = run.accuracy.get("float") if share is None and run.board is None else share
        if run.refused or share is not None:
            known[run.seed] = None if run.refused else 100 * float(share or 0.0)
    return known
