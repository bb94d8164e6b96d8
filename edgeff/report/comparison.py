"""Traces of rules trained on the host -> one grid per network and task: means and deviations over the seeds, and the difference to the
control.

A difference is the mean of those to the control of the same seeds, with its 95 % interval; runs that diverged are counted. MACs and bytes
are those of one learning step and one inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from edgeff.bench.statistics import Difference, Summary, paired_difference, summary
from edgeff.ir import Trace
from edgeff.report.overview import Grid, Heading
from edgeff.report.style import CONTROL, NO_RULE, shown

STORES = "stores "
"""The beginning of the remark on what a rule's step keeps."""
DIVERGED = "diverged"
"""A word in the reason of a run that started and did not end."""


@dataclass(frozen=True)
class RuleResult:
    """One rule on one network and task: its traces by seed, those that diverged among them, and its difference to the control."""

    rule: str
    traces: tuple[Trace, ...]
    above: Difference | None

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The accuracies of the float networks in per cent, of the runs that ended."""
        return self.over("float").values

    def over(self, name: str) -> Summary:
        """The accuracies called ``name`` over the seeds, in per cent."""
        return summary(by_seed([trace for trace in self.traces if trace.refused or trace.accuracy.get(name) is not None], name))


@dataclass(frozen=True)
class Comparison:
    """All rules on one network and task, the best first and those that did not run last."""

    network: str
    task: str
    results: tuple[RuleResult, ...]

    @property
    def title(self) -> str:
        """The network and task in words, on one line."""
        return f"{shown(self.network)} on {shown(self.task)}"


def is_comparison(traces: Sequence[Trace]) -> bool:
    """Whether the traces are of rules trained on the host, without any board."""
    rules = {trace.rule for trace in traces} - NO_RULE
    return len(rules) > 1 and all(trace.board is None and trace.target == "host" and not trace.curve for trace in traces)


def comparisons(traces: Sequence[Trace]) -> tuple[Comparison, ...]:
    """The comparisons of traces, in the order of their first appearance. Of refused runs those that diverged count."""
    by_network: dict[tuple[str, str], dict[str, list[Trace]]] = {}
    for trace in traces:
        if not trace.refused or DIVERGED in trace.refused:
            by_network.setdefault((trace.network, trace.task), {}).setdefault(trace.rule, []).append(trace)
    result = []
    for (network, task), rules in by_network.items():
        control = by_seed(rules.get(CONTROL, []), "float")
        results = [RuleResult(rule, tuple(members), _above(members, control)) for rule, members in rules.items()]
        result.append(Comparison(network, task, tuple(sorted(results, key=lambda r: -fmean(r.accuracies) if r.accuracies else 1.0))))
    return tuple(result)


def by_seed(traces: Sequence[Trace], name: str) -> dict[int, float | None]:
    """The accuracies called ``name`` in per cent by seed; None for a run that diverged."""
    found = {trace.seed: None if trace.refused else trace.accuracy.get(name) for trace in traces}
    return {seed: None if value is None else 100 * value for seed, value in found.items()}


def _above(members: Sequence[Trace], control: dict[int, float | None]) -> Difference | None:
    return None if members[0].rule == CONTROL else paired_difference(by_seed(members, "float"), control)


def grid(comparison: Comparison) -> Grid:
    """The comparison as a table."""
    headings = (
        Heading("", "rule", right=False),
        Heading("accuracy, %", "float", figure="accuracy"),
        Heading("accuracy, %", "seeds"),
        Heading("accuracy, %", "above frozen (95 %)", figure="accuracy"),
        Heading("accuracy, %", "int8", figure="accuracy"),
        Heading("MACs", "inference", figure="macs"),
        Heading("MACs", "learning step", figure="macs"),
        Heading("float32, bytes", "RAM to learn, no stack", figure="memory"),
        Heading("a step", "stores", right=False),
    )
    rows = tuple(_row(result) for result in comparison.results)
    exact = tuple(("exact",) if heading.figure else () for heading in headings)
    control = tuple(result.rule == CONTROL for result in comparison.results)
    return Grid(comparison.title, headings, rows, control, exact, tuple({"rule": result.rule} for result in comparison.results))


def _row(result: RuleResult) -> tuple[str | None, ...]:
    first = next((trace for trace in result.traces if not trace.refused), result.traces[0])
    numbers = (first.infer.macs, first.learn.macs, first.memory.arena_bytes)
    stored = next((remark.removeprefix(STORES) for remark in first.remarks if remark.startswith(STORES)), None)
    return (
        shown(result.rule, 40),
        result.over("float").shown() if result.accuracies else None,
        result.over("float").counted,
        None if result.above is None else result.above.shown(),
        result.over("quantized").shown() if result.over("quantized").values else None,
        *(None if number is None else f"{number:,}" for number in numbers),
        None if stored is None else shown(stored, 80),
    )
