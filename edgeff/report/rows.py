"""Traces -> the one table that the terminal, Markdown and the page show: its columns and the format of figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgeff.bench.metrics import metric_of
from edgeff.ir import Trace
from edgeff.report.evidence import KINDS, detail, figure_evidence
from edgeff.report.evidence import kind as evidence_kind
from edgeff.report.style import CONTROL, NO_RULE, shown

Value = str | int | float | None
Form = Literal["text", "percent", "points", "count", "ms", "uJ", "decimal", "signed"]
_SCALED: Mapping[Form, float] = {"ms": 1e3, "uJ": 1e6}
_IN_SHOWN_UNITS: Mapping[Form, float] = {"percent": 100.0, "points": 100.0, **_SCALED}


@dataclass(frozen=True)
class Column:
    """A column: its group and heading (``short`` if there is little room), its value in a trace, its format, its evidence."""

    group: str
    head: str
    short: str
    form: Form
    value: Callable[[Trace], Value]
    figure: str = ""

    @property
    def right(self) -> bool:
        """Whether the column holds figures, which are right-aligned."""
        return self.form != "text"


@dataclass(frozen=True)
class Group:
    """The runs that can be compared line by line: one task, network, board and target."""

    task: str
    network: str
    board: str | None
    target: str
    traces: tuple[Trace, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({trace.seed for trace in self.traces}))

    @property
    def title(self) -> str:
        """The group in words, on one line.

        >>> Group("digits", "64-32-10", None, "host", ()).title
        '64-32-10 on digits, host'
        """
        place = f"{shown(self.board)} ({shown(self.target)})" if self.board else shown(self.target)
        return f"{shown(self.network)} on {shown(self.task)}, {place}"


def groups(traces: Sequence[Trace]) -> tuple[Group, ...]:
    """The groups of traces in the order of their first appearance; runs keep their order."""
    members_of: dict[tuple[str, str, str | None, str], list[Trace]] = {}
    for trace in traces:
        members_of.setdefault((trace.task, trace.network, trace.board, trace.target), []).append(trace)
    return tuple(Group(*key, tuple(members)) for key, members in members_of.items())


def control_accuracy(trace: Trace, traces: Sequence[Trace]) -> float | None:
    """The frozen control's accuracy under the same conditions, from its own run or the trace's ``accuracy``; None for the control."""
    if trace.rule == CONTROL:
        return None
    for other in traces:
        if other.rule == CONTROL and _place(other) == _place(trace) and other.accuracy.get("after") is not None:
            return other.accuracy["after"]
    return trace.accuracy.get(CONTROL)


def reached(run: Trace) -> float | None:
    """The accuracy on the device: after learning, or as built for a program that does not learn."""
    if run.rule not in NO_RULE:
        return run.accuracy.get("after")
    known = (run.accuracy.get(name) for name in ("after", "float" if run.numeric == "float32" else "quantized"))
    return next((value for value in known if value is not None), None)


def _place(trace: Trace) -> tuple[object, ...]:
    return trace.task, trace.network, trace.numeric, trace.board, trace.target, trace.seed


KEYS = (
    Column("", "rule", "rule", "text", lambda t: "inference" if t.rule in NO_RULE else t.rule),
    Column("", "numeric", "numeric", "text", lambda t: t.numeric),
)
SEED = Column("", "seed", "seed", "count", lambda t: t.seed)
FIGURES = (
    Column("accuracy, %", "float", "float", "percent", lambda t: t.accuracy.get("float"), "accuracy"),
    Column("accuracy, %", "quantised", "quant.", "percent", lambda t: t.accuracy.get("quantized"), "accuracy"),
    Column("accuracy on the device, %", "before", "before", "percent", lambda t: t.accuracy.get("before"), "accuracy"),
    Column("accuracy on the device, %", "learned", "learned", "percent", lambda t: t.accuracy.get("after"), "accuracy"),
    Column("memory, bytes", "flash", "flash", "count", lambda t: t.memory.flash_bytes, "memory"),
    Column("memory, bytes", "RAM total", "RAM", "count", lambda t: t.memory.total_ram_bytes, "memory"),
    Column("memory, bytes", "stack", "stack", "count", lambda t: t.memory.stack_bytes, "memory"),
    Column("learning step", "instructions", "instr.", "count", lambda t: t.learn.instructions, "instructions"),
    Column("learning step", "ms", "ms", "ms", lambda t: t.learn.latency_s, "cycles"),
    Column("learning step", "uJ", "uJ", "uJ", lambda t: t.learn.energy_j, "energy"),
    Column("inference", "instructions", "instr.", "count", lambda t: t.infer.instructions, "instructions"),
    Column("inference", "ms", "ms", "ms", lambda t: t.infer.latency_s, "cycles"),
)


def figure_columns(group: Group) -> tuple[Column, ...]:
    """The columns of figures that hold a known one; that of quantised accuracy is named after the numeric if there is only one.

    If the task's metric is the area under a curve, the accuracy columns say so.
    """
    numerics = {trace.numeric for trace in group.traces if trace.accuracy.get("quantized") is not None}
    name = shown(numerics.pop(), 12) if len(numerics) == 1 else ""
    named = [replace(c, head=name, short=name) if name and c.head == "quantised" else c for c in FIGURES]
    if metric_of(group.task) == "auc":
        named = [replace(c, group=c.group.replace("accuracy", "AUC")) for c in named]
    return tuple(column for column in named if any(column.value(trace) is not None for trace in group.traces))


def beyond_control(group: Group) -> Column:
    """A column of the percentage points by which a run exceeds its control."""

    def value(trace: Trace) -> float | None:
        control, after = control_accuracy(trace, group.traces), trace.accuracy.get("after")
        return None if control is None or after is None else after - control

    return Column("accuracy on the device, %", "against control", "beyond", "points", value, "accuracy")


def key_columns(group: Group) -> tuple[Column, ...]:
    """The columns that name a run within its group: the seed only if there are several."""
    return (*KEYS, SEED) if len(group.seeds) > 1 else KEYS


def cells(column: Column, traces: Sequence[Trace], unknown: str) -> list[str]:
    """A column's cells as text, in the order of the traces; all times and energies with the decimals that the smallest needs.

    >>> cells(FIGURES[5], [], "-")
    []
    """
    return cells_of([column.value(trace) for trace in traces], column.form, unknown)


def cells_of(values: Sequence[Value], form: Form, unknown: str) -> list[str]:
    """The values of a column as text, as ``cells`` writes them."""
    decimals = _decimals(values, _SCALED[form]) if form in _SCALED else 0
    return [unknown if value is None else written(value, form, decimals) for value in values]


def written(value: str | float, form: Form, decimals: int = 2) -> str:
    """One value as text: shares as per cent, counts with thousands separators, seconds as milliseconds, joules as microjoules.

    >>> written(0.9583, "percent"), written(12345, "count"), written(0.0000421, "ms", 3)
    ('95.8', '12,345', '0.042')
    """
    if isinstance(value, str):
        return shown(value, 24)
    if form == "percent":
        return f"{100 * value:.1f}"
    if form == "points":
        return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")
    if form in {"decimal", "signed"}:  # per cent and points already
        return f"{value:.1f}" if form == "decimal" else f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    if form in _SCALED:
        return f"{_SCALED[form] * value:,.{decimals}f}"
    return f"{value:,}"


def in_shown_units(value: Value, form: Form) -> Value:
    """The value in the unit of its heading, in full: per cent for a share, points, milliseconds, microjoules.

    >>> in_shown_units(0.5, "percent"), in_shown_units(0.002, "ms"), in_shown_units(None, "ms"), in_shown_units(3, "count")
    (50.0, 2.0, None, 3)
    """
    factor = _IN_SHOWN_UNITS.get(form)
    return float(f"{factor * value:.12g}") if factor is not None and isinstance(value, int | float) else value


def _decimals(values: Sequence[Value], scale: float) -> int:
    smallest = min((scale * v for v in values if isinstance(v, (int, float)) and v > 0), default=1.0)
    return max(0, min(4, 2 - math.floor(math.log10(smallest))))


def evidence_kinds(column: Column, traces: Sequence[Trace]) -> tuple[str, ...]:
    """The kinds of evidence of a column's known values, each once."""
    known = [figure_evidence(trace, column.figure) for trace in traces if column.figure and column.value(trace) is not None]
    return tuple(sorted({word for label in known if (word := evidence_kind(label))}))


_WORDS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "memory": "flash, RAM and stack",
    "instructions": "instructions",
    "cycles": "ms",
    "energy": "uJ",
}


def evidence_by_kind(traces: Sequence[Trace]) -> dict[str, list[str]]:
    """Kind of evidence -> the figures of the traces with it, each with the rest of its label: ``"ms (validated +-20 %)"``."""
    by_kind: dict[str, list[str]] = {}
    for figure, words in _WORDS.items():
        details: dict[str, dict[str, set[str]]] = {}
        for trace in traces:
            if label := figure_evidence(trace, figure):
                word, text = evidence_kind(label) or "not stated", shown(detail(label), 120)
                details.setdefault(word, {}).setdefault(text, set()).add(shown(trace.board or trace.target))
        for word, places in details.items():
            apart = len(places) > 1 and len(set.union(*places.values())) > 1
            texts = (f"{text} on {', '.join(sorted(boards))}" if apart else text for text, boards in sorted(places.items()) if text)
            more = "; ".join(texts)
            by_kind.setdefault(word, []).append(f"{words} ({more})" if more else words)
    return {word: by_kind[word] for word in (*KINDS, *sorted(by_kind.keys() - set(KINDS))) if word in by_kind}
