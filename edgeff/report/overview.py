"""Traces of several boards -> grids with one line a program and one column a board, and what could not run, with its reason.

A program is a network with a rule in a numeric; its bytes are those of the board where it takes most. A board that it does not fit has a
dash, and its reason among the refusals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeff.bench.metrics import metric_of
from edgeff.ir import Trace
from edgeff.report.style import CONTROL, NO_RULE, shown

UNKNOWN = "-"
EVERY_BOARD = "every board"


@dataclass(frozen=True)
class Heading:
    """The head of a column: the group it stands in, its words, and whether it holds figures, which stand to the right."""

    group: str
    short: str
    right: bool = True


@dataclass(frozen=True)
class Grid:
    """A table as texts; ``control`` says of each row whether it is the control."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    control: tuple[bool, ...]


@dataclass(frozen=True)
class Refusal:
    """Configurations that could not run for one and the same reason."""

    task: str
    network: str
    rule: str
    numerics: str
    boards: str
    reason: str


def has_several_boards(traces: Iterable[Trace]) -> bool:
    """Whether any program stands on more than one board."""
    return any(len({trace.board for trace in members}) > 1 for members in _programs(traces))


def overview(traces: Sequence[Trace]) -> tuple[Grid, ...]:
    """The grids of inference and of a learning step, those of them that have a row."""
    boards = list(dict.fromkeys(trace.board or trace.target for trace in traces))
    known = [members for members in _programs(traces) if any(_has_figures(trace) for trace in members)]
    inference = [members for members in known if members[0].rule in NO_RULE]
    learning = [members for members in known if members[0].rule not in NO_RULE]
    many = len({trace.seed for trace in traces}) > 1
    return tuple(_grid(title, members, boards, seeds=many) for title, members in _TITLES(inference, learning) if members)


def refusals(traces: Iterable[Trace]) -> tuple[Refusal, ...]:
    """What could not run, the numerics and boards of one reason on one line."""
    found: dict[tuple[str, str, str, str], list[Trace]] = {}
    every: dict[tuple[str, str], set[str | None]] = {}
    for trace in traces:
        every.setdefault((trace.task, trace.network), set()).add(trace.board)
        if trace.refused:
            reason = trace.refused.removeprefix(f"does not fit {trace.board}: ")
            found.setdefault((trace.task, trace.network, trace.rule, reason), []).append(trace)
    return tuple(
        Refusal(task, network, rule, ", ".join(numerics), _places(members, every[task, network]), reason)
        for (task, network, rule, reason), members in found.items()
        for numerics in [dict.fromkeys(trace.numeric for trace in members)]
    )


def _places(members: Sequence[Trace], every: set[str | None]) -> str:
    boards = dict.fromkeys(trace.board or trace.target for trace in members)
    return EVERY_BOARD if len(every) > 1 and every == {trace.board for trace in members} else ", ".join(boards)


def _programs(traces: Iterable[Trace]) -> list[list[Trace]]:
    found: dict[tuple[object, ...], list[Trace]] = {}
    for trace in traces:
        found.setdefault((trace.task, trace.network, trace.rule, trace.numeric, trace.target, trace.seed), []).append(trace)
    return [*found.values()]


def _has_figures(trace: Trace) -> bool:
    return trace.memory.arena_bytes is not None or not trace.refused


def _TITLES(inference: list[list[Trace]], learning: list[list[Trace]]) -> tuple[tuple[str, list[list[Trace]]], ...]:  # noqa: N802
    return (("Inference", inference), ("A learning step", learning))
