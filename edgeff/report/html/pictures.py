"""The sections of pictures: accuracy against RAM, learning curves, cost by stage, and the inside of one run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgeff.ir import Trace
from edgeff.report.figures import (
    accuracy_against_ram,
    cost_by_layer,
    cost_by_run,
    learning_curves,
    memory_figure,
    metric,
    plottable,
    ram_parts,
)
from edgeff.report.html.parts import Page, choice
from edgeff.report.rows import groups
from edgeff.report.style import CONTROL, NO_RULE, ROLES, STATIC_COLOUR, shown


def accuracy_section(traces: Sequence[Trace], page: Page) -> str:
    """Accuracy against RAM, by task and by group; empty if fewer than two runs have both."""
    options = []
    for task in dict.fromkeys(trace.task for trace in traces):
        runs = [trace for trace in traces if trace.task == task]
        members = groups(runs)
        if len(members) > 1 and len(plottable(runs)) > 1:
            options.append(("", f"{shown(task)}: all networks and boards", _ram_panel(runs, shown(task), page)))
        options += [("", group.title, _ram_panel(group.traces, group.title, page)) for group in members if len(plottable(group.traces)) > 1]
    if not options:
        return ""
    control = (
        " A rule must be above the hollow mark of the control with its numeric to be worth its memory." if _has_control(traces) else ""
    )
    return f"""<section><h2>Accuracy against total RAM</h2>
<p>Up and to the left is better.{control} A thin line connects the numerics of one rule.</p>
{choice("ram", "Show", options)}</section>"""


def _ram_panel(runs: Sequence[Trace], name: str, page: Page) -> str:
    missing = len(runs) - len(plottable(runs))
    text = f"{missing} of {len(runs)} runs are not in the picture: their RAM or their accuracy is not known."
    note = f'<p class="muted small">{text}</p>' if missing else ""
    return f"<figure>{page.picture(accuracy_against_ram(runs), f'accuracy against total RAM, {name}')}</figure>{note}"


def curves_section(traces: Sequence[Trace], page: Page) -> str:
    """Learning curves by group; empty if there are none."""
    options = [
        ("", group.title, f"<figure>{page.picture(learning_curves(group), f'learning curves, {group.title}')}</figure>")
        for group in groups(traces)
        if any(len(trace.curve) > 1 for trace in group.traces)
    ]
    if not options:
        return ""
    control = " The dotted grey line is the control: the gain of a rule above it was learned in the hidden layers."
    control = control if _has_control(traces) else ""
    seeds = " Lines are means over the seeds, bands reach from the lowest to the highest." if len({t.seed for t in traces}) > 1 else ""
    return f"""<section><h2>Learning on the device</h2>
<p>Accuracy on the test samples against samples learned, one at a time.{control}{seeds}</p>{choice("curve", "Show", options)}</section>"""


def costs_section(traces: Sequence[Trace], page: Page) -> str:
    """The cost of all runs by stage, by group; empty if it is not known."""
    options = [
        ("", group.title, f"<figure>{page.picture(cost_by_run(group), f'cost by stage, {group.title}')}</figure>")
        for group in groups(traces)
        if any(trace.calls for trace in group.traces)
    ]
    if not options:
        return ""
    return f"""<section><h2>{_cost_words(traces)} by stage</h2>
<p>One learning step and one inference of every run, on one scale.</p>{choice("cost", "Show", options)}</section>"""


def inside_section(traces: Sequence[Trace], page: Page) -> str:
    """The memory map and the layers of one run at a time; of several boards and seeds the first, since the program is the same."""
    options, shown_runs = [], set()
    for group in groups(traces):
        for trace in group.traces:
            program = (trace.task, trace.network, trace.rule, trace.numeric, trace.target)
            if program not in shown_runs and (trace.memory_map or trace.calls):
                shown_runs.add(program)
                seed = f", seed {trace.seed}" if len(group.seeds) > 1 else ""
                options.append((group.title, f"{_run_name(trace)}{seed}", _run_panel(trace, page)))
    if not options:
        return ""
    if len({group for group, _, _ in options}) == 1:
        options = [("", name, panel) for _, name, panel in options]
    return f"<section><h2>Inside one run</h2>{choice('run', 'Run', options)}</section>"


def _run_panel(trace: Trace, page: Page) -> str:
    name = _run_name(trace)
    parts = [f'<p class="muted small">{escape("; ".join(shown(remark, 200) for remark in trace.remarks))}.</p>'] if trace.remarks else []
    if trace.memory_map:
        picture = page.picture(memory_figure(trace), f"memory map, {name}")
        parts.append(f"""<h3>RAM, {escape(name)}</h3>{_proportions(trace)}<figure>{picture}</figure>
<p class="muted small">Each rectangle is a tensor: across, the calls during which it is needed; up, its bytes, counted from the start of the
arena. Persistent part, scratch part and stack each have their own scale; the bar above shows all of them in proportion.</p>""")
    if trace.calls:
        picture = page.picture(cost_by_layer(trace), f"cost by layer, {name}")
        parts.append(f"<h3>{_cost_words([trace])} by layer, {escape(name)}</h3><figure>{picture}</figure>")
    return "".join(parts)


def _run_name(trace: Trace) -> str:
    return f"{'inference' if trace.rule in NO_RULE else shown(trace.rule)} {shown(trace.numeric)}"


def _has_control(traces: Sequence[Trace]) -> bool:
    return any(trace.rule == CONTROL for trace in traces)


def _cost_words(traces: Sequence[Trace]) -> str:
    return "Instructions" if metric(traces) == "instructions" else "Multiply-accumulates"


def _proportions(trace: Trace) -> str:
    parts = [(name, size, role) for name, size, role in ram_parts(trace) if size > 0]
    total = sum(size for _, size, _ in parts)
    if not total:
        return ""
    bars = "".join(f'<span {_fill(role)[0]} style="width:{100 * size / total:.3f}%;{_fill(role)[1]}"></span>' for _, size, role in parts)
    keys = "".join(
        f'<li><span class="swatch {"hatched" if role == "stack" else ""}" style="{_fill(role)[1]}"></span>{escape(name)} {size:,} B</li>'
        for name, size, role in parts
    )
    known = trace.memory.total_ram_bytes
    keys += f"<li><strong>total {known:,} B</strong></li>" if known is not None else ""
    return f'<div class="ram"><div class="bar" role="img" aria-label="parts of the RAM in proportion">{bars}</div><ul>{keys}</ul></div>'


def _fill(role: str) -> tuple[str, str]:
    """The class and the style that fill a part of the RAM."""
    if role == "stack":
        return 'class="hatched"', ""
    return "", f"background:{STATIC_COLOUR if role == 'static' else ROLES[role][1]}"
