"""Traces of several boards -> grids with one line per program and one column per board; and the refused runs with their reasons.

A program is a network with a rule in a numeric. Its bytes of RAM and flash are those of the board where it needs most. On a board that it
does not fit, its time is unknown, and a grid says how many bytes are missing; runs refused for other reasons are among the refusals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgeff.bench.metrics import metric_of
from edgeff.ir import Cost, Memory, Trace
from edgeff.report.evidence import figure_evidence, kind
from edgeff.report.style import CONTROL, NO_RULE, shown

EVERY_BOARD = "every board"
MILLISECONDS = "ms on"
MISFITS = "Too large for a board"
_MISSING = re.compile(r"([\d,]+) bytes of (RAM|flash) too few")

Program = Sequence[Trace]
"""The traces of one program, one per board."""


@dataclass(frozen=True)
class Heading:
    """The head of a column: its group, its words, whether it holds figures (right-aligned), and of which kind."""

    group: str
    short: str
    right: bool = True
    figure: str = ""


@dataclass(frozen=True)
class Grid:
    """A table as texts, None if nothing is known; ``control`` says for each row whether it is the control.

    ``evidence`` has the kinds of evidence of each column's figures; ``names`` what each row belongs to, by kind (``{"rule": "ff"}``).
    """

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str | None, ...], ...]
    control: tuple[bool, ...]
    evidence: tuple[tuple[str, ...], ...]
    names: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Configurations that were refused for the same reason; ``numerics`` and ``boards`` are lists in words."""

    task: str
    network: str
    rule: str
    numerics: str
    boards: str
    reason: str


def has_several_boards(traces: Iterable[Trace]) -> bool:
    """Whether any program was run on more than one board."""
    return any(len({trace.board for trace in program}) > 1 for program in _programs(traces))


def has_figures(trace: Trace) -> bool:
    """Whether anything is known of a run: it ran, or was refused only because of the board."""
    return not trace.refused or trace.infer.macs is not None


def overview(traces: Sequence[Trace]) -> tuple[Grid, ...]:
    """The grids of inference and of a learning step, without those that have no rows."""
    boards = list(dict.fromkeys(trace.board or trace.target for trace in traces))
    programs = _programs(traces)
    known = [program for program in programs if any(has_figures(trace) for trace in program)]
    inference = [program for program in known if program[0].rule in NO_RULE]
    learning = [program for program in known if program[0].rule not in NO_RULE]
    grids = []
    if inference:
        accuracy = [("accuracy, %", "", lambda p: _share(p, "float", "quantized"))]
        grids.append(_grid("Inference", inference, boards, accuracy, lambda trace: trace.infer))
    if learning:
        accuracy = [("accuracy, %", "before", lambda p: _share(p, "before")), ("accuracy, %", "learned", lambda p: _share(p, "after"))]
        grids.append(_grid("A learning step", learning, boards, accuracy, lambda trace: trace.learn))
    large = [program for program in programs if any(missing(trace) for trace in program)]
    if large:
        grids.append(_misfits(large, boards))
    return tuple(grids)


def missing(trace: Trace) -> tuple[tuple[int, str], ...]:
    """The missing bytes of a run on its board, each with its memory: ``((67608, "RAM"),)``; empty for a run that fits."""
    return tuple((int(size.replace(",", "")), kind) for size, kind in _MISSING.findall(trace.refused))


def refusals(traces: Iterable[Trace]) -> tuple[Refusal, ...]:
    """The refused runs, except for boards that are too small if ``overview`` lists them; one line for all with the same reason."""
    traces = [*traces]
    listed = has_several_boards(traces)
    by_reason: dict[tuple[str, str, str, str], list[Trace]] = {}
    every: dict[tuple[str, str], set[str | None]] = {}
    for trace in traces:
        every.setdefault((trace.task, trace.network), set()).add(trace.board)
        if trace.refused and not (listed and missing(trace)):
            reason = trace.refused.removeprefix(f"does not fit {trace.board}: ")
            by_reason.setdefault((trace.task, trace.network, trace.rule, reason), []).append(trace)
    lines = []
    for (task, network, rule, reason), members in by_reason.items():
        boards = dict.fromkeys(trace.board or trace.target for trace in members)
        places = EVERY_BOARD if len(boards) > 1 and {trace.board for trace in members} == every[task, network] else ", ".join(boards)
        lines.append(Refusal(task, network, rule, ", ".join(dict.fromkeys(trace.numeric for trace in members)), places, reason))
    return tuple(lines)


def _programs(traces: Iterable[Trace]) -> list[list[Trace]]:
    by_program: dict[tuple[object, ...], list[Trace]] = {}
    for trace in traces:
        by_program.setdefault((trace.task, trace.network, trace.rule, trace.numeric, trace.target, trace.seed), []).append(trace)
    return [*by_program.values()]


Cell = Callable[[Program], str | None]


def _grid(
    title: str, programs: Sequence[Program], boards: Sequence[str], accuracy: Sequence[tuple[str, str, Cell]], cost: Callable[[Trace], Cost]
) -> Grid:
    columns = _names(programs)
    columns += [(Heading(group, short, figure="accuracy"), cell) for group, short, cell in accuracy]
    columns += [
        (Heading("bytes", "arena", figure="memory"), lambda p: _most(p, lambda memory: memory.arena_bytes)),
        (Heading("bytes", "RAM", figure="memory"), lambda p: _most(p, lambda memory: memory.total_ram_bytes)),
        (Heading("bytes", "flash", figure="memory"), lambda p: _most(p, lambda memory: memory.flash_bytes)),
    ]
    columns += [(Heading(MILLISECONDS, shown(board, 24), figure="cycles"), _milliseconds(board, cost)) for board in boards]
    known = [(heading, cell) for heading, cell in columns if heading.group != "accuracy, %" or any(cell(p) is not None for p in programs)]
    return _filled(title, programs, known)


def _filled(title: str, programs: Sequence[Program], columns: Sequence[tuple[Heading, Cell]]) -> Grid:
    rows = tuple(tuple(cell(program) for _, cell in columns) for program in programs)
    every = [trace for program in programs for trace in program]
    evidence = tuple(_kinds(heading, every) for heading, _ in columns)
    control = tuple(program[0].rule == CONTROL for program in programs)
    return Grid(
        title, tuple(heading for heading, _ in columns), rows, control, evidence, tuple(_belongs(program[0]) for program in programs)
    )


def _belongs(trace: Trace) -> Mapping[str, str]:
    rule = "inference" if trace.rule in NO_RULE else trace.rule
    return {"task": trace.task, "network": trace.network, "rule": rule, "numeric": trace.numeric}


def _kinds(heading: Heading, traces: Iterable[Trace]) -> tuple[str, ...]:
    """The kinds of evidence of a column, each once; a column for one board considers only its runs."""
    if not heading.figure:
        return ()
    asked = (trace for trace in traces if heading.group != MILLISECONDS or shown(trace.board or trace.target, 24) == heading.short)
    return tuple(sorted({word for trace in asked if (word := kind(figure_evidence(trace, heading.figure)))}))


def _names(programs: Sequence[Program]) -> list[tuple[Heading, Cell]]:
    """The columns that identify the program of a line."""
    columns: list[tuple[Heading, Cell]] = [
        (Heading("", "task", right=False), lambda p: shown(p[0].task, 16)),
        (Heading("", "network", right=False), lambda p: shown(p[0].network, 24)),
    ]
    if any(program[0].rule not in NO_RULE for program in programs):
        columns.append((Heading("", "rule", right=False), lambda p: "inference" if p[0].rule in NO_RULE else shown(p[0].rule, 16)))
    columns.append((Heading("", "numeric", right=False), lambda p: shown(p[0].numeric, 12)))
    if len({program[0].seed for program in programs}) > 1:
        columns.append((Heading("", "seed"), lambda p: str(p[0].seed)))
    return columns


def _misfits(programs: Sequence[Program], boards: Sequence[str]) -> Grid:
    """The number of missing bytes if a program does not fit; nothing if it does."""

    def cell(board: str) -> Cell:
        def found(program: Program) -> str | None:
            here = next((trace for trace in program if (trace.board or trace.target) == board), None)
            if here is None:
                return None
            return ", ".join(f"{size:,} {kind}" for size, kind in missing(here)) or "fits"

        return found

    return _filled(MISFITS, programs, _names(programs) + [(Heading("bytes missing on", shown(board, 24)), cell(board)) for board in boards])


def _milliseconds(board: str, cost: Callable[[Trace], Cost]) -> Cell:
    def cell(program: Program) -> str | None:
        found = next((cost(trace).latency_s for trace in program if (trace.board or trace.target) == board), None)
        return None if found is None else three_digits(1000 * found)

    return cell


def _share(program: Program, *names: str) -> str | None:
    """The first known of the accuracies ``names`` in per cent, with the metric's name if it is a different one."""
    for trace in program:
        for name in names:
            if (value := trace.accuracy.get(name)) is not None:
                return f"{100 * value:.1f}{' (AUC)' if metric_of(trace.task) == 'auc' else ''}"
    return None


def _most(program: Program, part: Callable[[Memory], int | None]) -> str | None:
    known = [value for trace in program if (value := part(trace.memory)) is not None]
    return f"{max(known):,}" if known else None


def three_digits(number: float) -> str:
    """A figure with three significant digits, as people write it.

    >>> three_digits(4612.3), three_digits(119.34), three_digits(0.14201), three_digits(0.0)
    ('4,612', '119', '0.142', '0')
    """
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:#.3g}".rstrip(".") if number else "0"
