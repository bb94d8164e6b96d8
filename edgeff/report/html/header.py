"""The head of the page: its title, a sentence on what was measured, and the main facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from edgeff.ir import Trace
from edgeff.report.comparison import is_comparison
from edgeff.report.figures import ordered_numerics, plottable
from edgeff.report.rows import control_accuracy, groups
from edgeff.report.style import CONTROL, NO_RULE, markup, shown

_LIST_LIMIT = 8
_TITLE_LIMIT = 3


def title(traces: Sequence[Trace]) -> str:
    """The page's title: the one configuration that was measured, or how many."""
    several = groups(traces)
    if len(several) == 1:
        return several[0].title
    if not traces:
        return "No runs"
    networks, tasks = dict.fromkeys(trace.network for trace in traces), dict.fromkeys(trace.task for trace in traces)
    if max(len(networks), len(tasks)) > _TITLE_LIMIT:
        return f"{len(traces)} runs"
    return f"{len(traces)} runs: {', '.join(map(shown, networks))} on {', '.join(map(shown, tasks))}"


def header(traces: Sequence[Trace]) -> str:
    """The head of the page as HTML."""
    facts = _facts(traces)
    listed = f'<ul class="facts">{"".join(f"<li>{fact}.</li>" for fact in facts)}</ul>' if facts else ""
    return f'<header><p class="kicker">edgeff report</p><h1>{escape(title(traces))}</h1><p>{_lede(traces)}</p>{listed}</header>'


def _lede(traces: Sequence[Trace]) -> str:
    """The sentence on what was measured."""
    if not traces:
        return "The report contains no runs."
    rules = [trace.rule for trace in traces if trace.rule not in NO_RULE]
    learning = f", learning by {_listed(rules)}" if rules else ", inference only"
    places = _listed(trace.board or "the host" for trace in traces)
    seeds = sorted({trace.seed for trace in traces})
    counted = f"{len(traces)} runs" if len(traces) > 1 else "One run"
    learned = ", and of the generated C before and after it learned one sample at a time"
    return (
        f"{counted} of {_listed(trace.network for trace in traces)} on {_listed(trace.task for trace in traces)}{learning}, in "
        f"{_listed(ordered_numerics(traces))}, on {places} ({_listed(trace.target for trace in traces)}), "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {_listed(map(str, seeds))}. "
        "Accuracy is the share of the test samples classified correctly: of the network trained on the host"
        f"{'' if is_comparison(traces) else learned}."
    )


def _listed(names: Iterable[str]) -> str:
    """Names in the order of their first appearance, as a list in a sentence, escaped."""
    distinct = list(dict.fromkeys(names))
    cut = [markup(name, 40) for name in distinct[:_LIST_LIMIT]]
    if len(distinct) > _LIST_LIMIT:
        cut.append(f"{len(distinct) - _LIST_LIMIT} more")
    return cut[0] if len(cut) == 1 else f"{', '.join(cut[:-1])} and {cut[-1]}"


def _facts(traces: Sequence[Trace]) -> list[str]:
    """For a report of one group and one seed: the best run, the smallest that beats the control, those that do not beat it."""
    several = groups(traces)
    runs = [trace for trace in plottable(traces) if trace.rule not in {CONTROL, *NO_RULE}]
    if len(several) != 1 or len(several[0].seeds) != 1 or not runs:
        return []
    best = max(runs, key=lambda run: run.accuracy["after"] or 0.0)
    facts = [f"Highest accuracy learned on the device: {_run_words(best, traces)}"]
    known = [(run, control) for run in runs if (control := control_accuracy(run, traces)) is not None]
    above = [run for run, control in known if (run.accuracy["after"] or 0.0) > control]
    below = [run for run, control in known if (run.accuracy["after"] or 0.0) <= control]
    if above:
        least = min(above, key=lambda run: run.memory.total_ram_bytes or 0)
        if least is best:
            facts[0] += "; no other run above the frozen control takes less RAM" if len(above) > 1 else ""
        else:
            facts.append(f"Least RAM among the runs above the frozen control: {_run_words(least, traces)}")
    if below:
        facts.append(f"Not above the frozen control: {_listed(f'{run.rule} {run.numeric}' for run in below)}")
    return facts


def _run_words(run: Trace, traces: Sequence[Trace]) -> str:
    control = control_accuracy(run, traces)
    against = f", control {100 * control:.1f} %" if control is not None else ""
    return (
        f"<strong>{markup(run.rule)} {markup(run.numeric)}</strong>, {100 * (run.accuracy['after'] or 0.0):.1f} % in "
        f"{run.memory.total_ram_bytes:,} bytes of RAM{against}"
    )
