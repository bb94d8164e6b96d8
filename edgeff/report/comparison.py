"""Traces of rules trained on the host -> one grid per network and task: means and deviations over the seeds, and the margin over the
control.

A margin is the mean of the differences to the control of the same seed. MACs and bytes are those of one learning step and one inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from edgeff.ir import Trace
from edgeff.report.overview import Grid, Heading
from edgeff.report.style import CONTROL, NO_RULE, shown

STORES = "stores "
"""The beginning of the remark on what a rule's step keeps."""


@dataclass(frozen=True)
class RuleResult:
    """One rule on one network and task: its traces, one per seed, and their differences to the control in points, if both are known."""

    rule: str
    traces: tuple[Trace, ...]
    margins: tuple[float, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The accuracies of the float networks in per cent."""
        return self.percent("float")

    def percent(self, name: str) -> tuple[float, ...]:
        """The known accuracies called ``name``, in per cent."""
        return tuple(100 * value for trace in self.traces if (value := trace.accuracy.get(name)) is not None)


@dataclass(frozen=True)
class Comparison:
    """All rules on one network and task, the best first and those that did not run last."""

    network: str
    task: str
    results: tuple[RuleResult, ...]

    @property
    def title(self) -> str:
        """The network and task in words, on one line."""
        seeds = sorted({trace.seed for result in self.results for trace in result.traces})
        return f"{shown(self.network)} on {shown(self.task)}, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"


def is_comparison(traces: Sequence[Trace]) -> bool:
    """Whether the traces are of rules trained on the host, without any board."""
    rules = {trace.rule for trace in traces} - NO_RULE
    return len(rules) > 1 and all(trace.board is None and trace.target == "host" and not trace.curve for trace in traces)


def comparisons(traces: Sequence[Trace]) -> tuple[Comparison, ...]:
    """The comparisons of traces, in the order of their first appearance."""
    by_network: dict[tuple[str, str], dict[str, list[Trace]]] = {}
    for trace in traces:
        if not trace.refused:
            by_network.setdefault((trace.network, trace.task), {}).setdefault(trace.rule, []).append(trace)
    result = []
    for (network, task), rules in by_network.items():
        control = {trace.seed: trace.accuracy.get("float") for trace in rules.get(CONTROL, [])}
        results = [RuleResult(rule, tuple(members), _margins(members, control)) for rule, members in rules.items()]
        result.append(Comparison(network, task, tuple(sorted(results, key=lambda r: -fmean(r.accuracies) if r.accuracies else 1.0))))
    return tuple(result)


def _margins(members: Sequence[Trace], control: dict[int, float | None]) -> tuple[float, ...]:
    pairs = [(trace.accuracy.get("float"), control.get(trace.seed)) for trace in members if trace.rule != CONTROL]
    return tuple(100 * (own - frozen) for own, frozen in pairs if own is not None and frozen is not None)


def mean_and_deviation(values: Sequence[float], sign: str = "") -> str | None:
    """The mean and, for several values, their standard deviation; None without values.

    >>> mean_and_deviation([97.0, 98.0]), mean_and_deviation([1.25], "+"), mean_and_deviation([])
    ('97.5 ± 0.7', '+1.2', None)
    """
    if not values:
        return None
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):{sign}.1f}{spread}"


def grid(comparison: Comparison) -> Grid:
    """The comparison as a table."""
    headings = (
        Heading("", "rule", right=False),
        Heading("accuracy, %", "float", figure="accuracy"),
        Heading("accuracy, %", "above frozen", figure="accuracy"),
        Heading("accuracy, %", "int8", figure="accuracy"),
        Heading("MACs", "inference", figure="macs"),
        Heading("MACs", "learning step", figure="macs"),
        Heading("float32, bytes", "RAM to learn", figure="memory"),
        Heading("a step", "stores", right=False),
    )
    rows = tuple(_row(result) for result in comparison.results)
    exact = tuple(("exact",) if heading.figure else () for heading in headings)
    return Grid(comparison.title, headings, rows, tuple(result.rule == CONTROL for result in comparison.results), exact)


def _row(result: RuleResult) -> tuple[str | None, ...]:
    first = result.traces[0]
    numbers = (first.infer.macs, first.learn.macs, first.memory.arena_bytes)
    stored = next((remark.removeprefix(STORES) for remark in first.remarks if remark.startswith(STORES)), None)
    return (
        shown(result.rule, 40),
        mean_and_deviation(result.accuracies),
        mean_and_deviation(result.margins, "+"),
        mean_and_deviation(result.percent("quantized")),
        *(None if number is None else f"{number:,}" for number in numbers),
        None if stored is None else shown(stored, 80),
    )
