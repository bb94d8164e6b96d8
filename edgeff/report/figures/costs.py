"""Instructions (or multiply-accumulates) as bars, stacked by stage: for every run, or for every layer of one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeff.ir import CallCost, Trace
from edgeff.report.figures.parts import Figure, axis, layout, legend, note
from edgeff.report.layer_names import short_names
from edgeff.report.line_names import line_title
from edgeff.report.rows import Group
from edgeff.report.style import INK, markup, stage_colour, stage_order


def metric(traces: Sequence[Trace]) -> str:
    """The quantity in cost bars: ``instructions`` if they were counted, else ``macs``."""
    calls = [call for trace in traces for call in trace.calls]
    return "instructions" if any(call.instructions is not None for call in calls) else "macs"


def cost_by_run(group: Group) -> Figure:
    """The lines of every run of the group's first seed, the learning step first, stacked by stage."""
    runs = [t for t in group.traces if t.seed == group.seeds[0] and t.calls]
    rows = [f"{markup(t.rule, 18)}  {markup(t.numeric, 10)}" for t in runs]
    lines = dict.fromkeys(("learn", "infer", *(name for t in runs for name in t.lines)))
    panels = [(markup(line_title(name), 30), [t.line(name).calls for t in runs]) for name in lines]
    return _stacked(rows, panels, metric(runs))


def cost_by_layer(trace: Trace) -> Figure:
    """The layers of one run in the order of their first call, stacked by stage; what belongs to no layer is attributed to the rule."""
    names = list(dict.fromkeys(call.name for call in trace.calls))
    names.sort(key=lambda name: name in {trace.rule, "infer"})
    shorter = short_names(names, 24)
    rows = [f"<i>{markup(name, 18)}: the rule</i>" if name == trace.rule else markup(shorter[name], 24) for name in names]
    panels = [
        (markup(line_title(line), 30), [tuple(call for call in trace.line(line).calls if call.name == name) for name in names])
        for line in dict.fromkeys(("infer", "learn", *trace.lines))
    ]
    return _stacked(rows, panels, metric([trace]))


def _stacked(rows: Sequence[str], panels: Sequence[tuple[str, Sequence[Sequence[CallCost]]]], what: str) -> Figure:
    """Horizontal bars, one per row, in panels side by side on one scale; each bar ends in its total."""
    panels = [panel for panel in panels if any(panel[1])] or panels[:1]
    unit = "instructions" if what == "instructions" else "multiply-accumulates"
    stages = sorted({call.stage for _, cost in panels for calls in cost for call in calls}, key=lambda s: (stage_order(s), s))
    inside, above, below = 26 * max(len(rows), 1), 62, 56
    totals = [[_sum(calls, what) for calls in cost] for _, cost in panels]
    longest = max((total or 0 for panel in totals for total in panel), default=1) or 1
    data: list[Figure] = []
    notes: list[Figure] = []
    axes: Figure = {}
    gap = 0.05
    width = (1.0 - gap * (len(panels) - 1)) / len(panels)
    places = list(range(len(rows)))
    for index, (title, cost) in enumerate(panels):
        suffix = "" if index == 0 else str(index + 1)
        for stage in stages:
            parts = [[call for call in calls if call.stage == stage] for calls in cost]
            counts = [_sum(calls, what) for calls in parts]
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "x": counts,
                    "y": places,
                    "width": 0.62,
                    "name": markup(stage),
                    "legendgroup": markup(stage),
                    "showlegend": index == 0,
                    "marker": {"color": stage_colour(stage), "line": {"color": "#ffffff", "width": 0.5}},
                    "hovertext": [_stage_hover(row, title, stage, calls, what) for row, calls in zip(rows, parts, strict=True)],
                    "hoverinfo": "text",
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                }
            )
        for place, total in zip(places, totals[index], strict=True):
            if total is not None:
                spot = {"xref": f"x{suffix}", "yref": f"y{suffix}", "xanchor": "left", "xshift": 4, "font": {"size": 12, "color": INK}}
                notes.append(note(f"{total:,}", total, place, **spot))
        start = index * (width + gap)
        heading = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "font": {"size": 13, "color": INK}}
        notes.append(note(f"<b>{title}</b>", start, 1.0, yshift=2, **heading))
        axes[f"xaxis{suffix}"] = axis(
            unit, domain=[start, start + width], anchor=f"y{suffix}", tickformat=",d", range=[0, 1.16 * longest], nticks=5
        )
        labels = {"tickmode": "array", "tickvals": places, "ticktext": list(rows)} if index == 0 else {"showticklabels": False}
        axes[f"yaxis{suffix}"] = axis(
            "", anchor=f"x{suffix}", range=[len(rows) - 0.5, -0.5], showgrid=False, ticks="", type="linear", **labels
        )
    keys = legend(y=1.0 + 24 / inside, font={"size": 12}, itemclick=False, itemdoubleclick=False)
    extra = {
        "barmode": "stack",
        "annotations": notes,
        "showlegend": True,
        "legend": keys,
        "margin": {"l": 110, "r": 10, "t": above, "b": below},
    }
    return {"data": data, "layout": layout(inside + above + below, **extra, **axes)}


def _sum(calls: Iterable[CallCost], what: str) -> int | None:
    """The total of the known values, None if there are none."""
    known = [value for call in calls if (value := getattr(call, what)) is not None]
    return sum(known) if known else None


def _stage_hover(row: str, title: str, stage: str, calls: Sequence[CallCost], what: str) -> str:
    kernels: dict[str, list[CallCost]] = {}
    for call in calls:
        kernels.setdefault(call.kernel, []).append(call)
    lines = [f"<b>{row}</b>, {title}, {markup(stage)}"]
    for kernel, members in kernels.items():
        total = _sum(members, what)
        times = f" \N{MULTIPLICATION SIGN} {len(members)}" if len(members) > 1 else ""
        lines.append(f"{markup(kernel)}{times}: {'unknown' if total is None else f'{total:,}'}")
    return "<br>".join(lines)
