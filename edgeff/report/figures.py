"""Traces -> figures as plotly reads them: plain mappings of ``data`` and ``layout``. Every name from outside goes in as escaped text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from edgeff.ir import CallCost, Trace
from edgeff.report.rows import Group, control_accuracy, written
from edgeff.report.style import (
    CONTROL,
    GRID,
    INK,
    MUTED,
    RULE_LINE,
    markup,
    numeric_mark,
    rule_look,
    shown,
    stage_colour,
    stage_order,
)

Figure = dict[str, Any]
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
NUMERIC_ORDER = ("float32", "int16", "int8")
_LOG_FROM = 20.0
_MOST_NAMED = 24
_CHARACTER = 6.8  # pixels of a character of a name


def layout(height: int, **more: Any) -> Figure:
    """The layout that all figures share; axes are made by ``axis``."""
    base = {
        "height": height,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 70, "r": 20, "t": 30, "b": 60},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": RULE_LINE, "font": {"family": FONT, "size": 12, "color": INK}, "align": "left"},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": INK},
        "showlegend": False,
    }
    return base | more


def axis(title: str = "", **more: Any) -> Figure:
    """An axis with its unit in the title, thin lines and no zero line."""
    base = {
        "title": {"text": title, "font": {"size": 13, "color": MUTED}, "standoff": 10},
        "showline": True,
        "linecolor": RULE_LINE,
        "gridcolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": RULE_LINE,
        "tickfont": {"size": 12, "color": MUTED},
        "automargin": True,
    }
    return base | more


def note(text: str, x: float, y: float, **more: Any) -> Figure:
    """Text in a figure, without an arrow; ``text`` is escaped already."""
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"size": 12, "color": MUTED}} | more


def legend(**more: Any) -> Figure:
    """A legend in one line above the figure."""
    place = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12}, "traceorder": "normal"}
    return place | more


def ordered_numerics(traces: Iterable[Trace]) -> list[str]:
    """The numerics of traces, edgeff's own first and from wide to narrow."""
    found = {trace.numeric for trace in traces}
    return [*(n for n in NUMERIC_ORDER if n in found), *sorted(found - set(NUMERIC_ORDER))]


def plottable(traces: Sequence[Trace]) -> list[Trace]:
    """The runs whose total RAM and learned accuracy are both known."""
    return [t for t in traces if t.memory.total_ram_bytes is not None and t.accuracy.get("after") is not None]


def accuracy_against_ram(traces: Sequence[Trace]) -> Figure:
    """The picture of every run: total RAM in bytes along x, accuracy learned on the device up y; colour a rule, mark a numeric, hollow the control.

    Few runs are named where they stand, many in a legend. A mark that lies under others is larger, so that it shows around them.
    """
    runs = plottable(traces)
    frame = _Frame.around([(run.memory.total_ram_bytes or 0, 100 * (run.accuracy["after"] or 0.0)) for run in runs])
    spots = [frame.pixels(run.memory.total_ram_bytes or 0, 100 * (run.accuracy["after"] or 0.0)) for run in runs]
    named = len(runs) <= _MOST_NAMED
    drawn = [i for rule in dict.fromkeys(run.rule for run in runs) for i in range(len(runs)) if runs[i].rule == rule]
    sizes = {i: 11 + 6 * min(2, sum(math.dist(spots[i], spots[j]) < 3 for j in drawn[place + 1 :])) for place, i in enumerate(drawn)}
    data: list[Figure] = [*_numeric_lines(runs)]
    for rule in dict.fromkeys(run.rule for run in runs):
        members = [i for i in drawn if runs[i].rule == rule]
        colour, _ = rule_look(rule)
        hollow = rule == CONTROL
        name = markup(rule) + (" (control)" if hollow else "")
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "legendgroup": markup(rule),
                "x": [runs[i].memory.total_ram_bytes for i in members],
                "y": [100 * (runs[i].accuracy["after"] or 0.0) for i in members],
                "marker": {
                    "symbol": [numeric_mark(runs[i].numeric, hollow=hollow) for i in members],
                    "size": [sizes[i] for i in members],
                    "opacity": 1,
                    "color": colour,
                    "line": {"width": 2 if hollow else 1, "color": colour if hollow else "#ffffff"},
                },
                "hovertext": [_run_hover(runs[i], traces) for i in members],
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
        if not named:
            data.append(_key(name, numeric_mark("float32", hollow=hollow), colour, legendgroup=markup(rule)))
    data += [_key(markup(n), numeric_mark(n), MUTED, legend="legend2") for n in ordered_numerics(runs)]
    x = axis(
        "total RAM: weights, activations and stack, bytes" + (" (logarithmic)" if frame.log else ""), tickformat=",d", range=list(frame.x)
    )
    notes, beyond = _names(runs, spots, frame) if named else ([], 0.0)
    return {
        "data": data,
        "layout": layout(
            _Frame.height,
            margin={"l": 70, "r": 20 + beyond, "t": 40 if named else 64, "b": 60},
            xaxis=x | ({"type": "log", "dtick": "D2"} if frame.log else {"type": "linear"}),
            yaxis=axis("accuracy learned on the device, %", type="linear", range=list(frame.y)),
            annotations=notes,
            showlegend=True,
            legend=legend(y=1.09),
            legend2=legend(y=1.02, itemclick=False, itemdoubleclick=False),
        ),
    }


@dataclass(frozen=True)
class _Frame:
    """The ranges of the picture (x in powers of ten where it is logarithmic), and where in it a run stands, in pixels of a page of usual width."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    width = 1060
    height = 460

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]]) -> _Frame:
        """The frame that holds (bytes, per cent), from 0 bytes on unless the sizes are so different that only a logarithm shows them all."""
        across = [x for x, _ in points] or [1.0]
        up = [y for _, y in points] or [0.0, 100.0]
        log = min(across) > 0 and max(across) / min(across) > _LOG_FROM
        right = 1.12 * max(*across, 1.0)
        x = (math.log10(min(across) / 1.3), math.log10(1.6 * max(across))) if log else (0.0, right)
        margin = max(1.0, 0.08 * (max(up) - min(up)))
        return cls(x, (max(0.0, min(up) - margin) if min(up) > 0 else -1.0, max(up) + margin), log)

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        across = math.log10(x) if self.log else x
        return (across - self.x[0]) / (self.x[1] - self.x[0]) * self.width, (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - 100)

    def per_cent(self, pixels: float) -> float:
        """The accuracy at a height in pixels."""
        return self.y[0] + pixels / (self.height - 100) * (self.y[1] - self.y[0])


def _names(runs: Sequence[Trace], spots: Sequence[tuple[float, float]], frame: _Frame) -> tuple[list[Figure], float]:
    """The rules beside their marks, and how many pixels they reach beyond the frame: one text for marks that touch, texts one above the other moved apart."""
    clusters: list[list[int]] = []
    for i in sorted(range(len(runs)), key=lambda i: -spots[i][1]):
        near = next((c for c in clusters if runs[c[0]].numeric == runs[i].numeric and math.dist(spots[c[0]], spots[i]) < 14), None)
        if near is None:
            clusters.append([i])
        else:
            near.append(i)
    columns: list[list[list[int]]] = []
    for cluster in sorted(clusters, key=lambda c: spots[c[0]][0]):
        if columns and spots[cluster[0]][0] - spots[columns[-1][0][0]][0] < 90:
            columns[-1].append(cluster)
        else:
            columns.append([cluster])
    notes, beyond = [], 0.0
    for column in columns:
        heights = spread([spots[c[0]][1] for c in column], 15.0, 6.0, frame.height - 106.0)
        for cluster, height in zip(column, heights, strict=True):
            rules = dict.fromkeys(runs[i].rule for i in cluster)
            names = [shown(rule, 18) + (" (control)" if rule == CONTROL else "") for rule in rules]
            text = ", ".join(
                f'<span style="color:{rule_look(rule)[0]}">{markup(name)}</span>' for rule, name in zip(rules, names, strict=True)
            )
            right = max(cluster, key=lambda i: spots[i][0])
            x = runs[right].memory.total_ram_bytes or 0
            beyond = max(beyond, spots[right][0] + 12 + _CHARACTER * len(", ".join(names)) - frame.width)
            notes.append(
                note(
                    text,
                    math.log10(x) if frame.log else x,
                    frame.per_cent(height),
                    xanchor="left",
                    xshift=11,
                    yanchor="middle",
                    bgcolor="rgba(253,253,252,0.75)",
                    borderpad=0,
                )
            )
    return notes, beyond


def _key(name: str, symbol: str, colour: str, **more: Any) -> Figure:
    """An entry of a legend that stands for no point."""
    marker = {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2 if symbol.endswith("-open") else 0, "color": colour}}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [None],
        "y": [None],
        "marker": marker,
        "hoverinfo": "skip",
        "showlegend": True,
    } | more


def _numeric_lines(runs: Sequence[Trace]) -> list[Figure]:
    """Thin lines that tie the numerics of one configuration together."""
    tied: dict[tuple[object, ...], list[Trace]] = {}
    for run in runs:
        tied.setdefault((run.task, run.network, run.rule, run.board, run.target, run.seed), []).append(run)
    lines = []
    for members in tied.values():
        if len(members) < 2:
            continue
        members.sort(key=lambda run: run.memory.total_ram_bytes or 0)
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [run.memory.total_ram_bytes for run in members],
                "y": [100 * (run.accuracy["after"] or 0.0) for run in members],
                "line": {"color": rule_look(members[0].rule)[0], "width": 1},
                "opacity": 0.35,
                "legendgroup": markup(members[0].rule),
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return lines


def _run_hover(run: Trace, traces: Sequence[Trace]) -> str:
    after, control, memory = run.accuracy.get("after"), control_accuracy(run, traces), run.memory
    lines = [f"<b>{markup(run.rule)}</b> {markup(run.numeric)}"]
    place = markup(run.board) if run.board else markup(run.target)
    lines.append(f"{markup(run.network)} on {markup(run.task)}, {place}, seed {run.seed}")
    if after is not None:
        against = f" ({written(after - control, 'points')} points against the control's {100 * control:.1f})" if control is not None else ""
        lines.append(f"accuracy {100 * after:.1f} %{against}")
    lines.append(f"total RAM {memory.total_ram_bytes:,} B = {memory.static_ram_bytes:,} static + {memory.stack_bytes:,} stack")
    if memory.flash_bytes is not None:
        lines.append(f"flash {memory.flash_bytes:,} B")
    if run.learn.instructions is not None:
        ms = f", {1000 * run.learn.latency_s:.3g} ms" if run.learn.latency_s is not None else ""
        lines.append(f"learning step {run.learn.instructions:,} instructions{ms}")
    return "<br>".join(lines)


def learning_curves(group: Group) -> Figure:
    """Accuracy on the test samples against samples learned, one panel a numeric, each line named at its end; the control is grey and dotted.

    Where a rule has several seeds the line is their mean and the band reaches from the least to the greatest.
    """
    runs = [trace for trace in group.traces if len(trace.curve) > 1]
    numerics = ordered_numerics(runs)
    panels = max(len(numerics), 1)
    gap = 0.15  # room for the names at the ends of the lines
    width = (1.0 - gap * panels) / panels
    height = 420
    data: list[Figure] = []
    notes: list[Figure] = []
    axes: Figure = {}
    low = min((100 * share for run in runs for _, share in run.curve), default=0.0)
    span = (max(0.0, low - 3.0), 101.0)
    for index, numeric in enumerate(numerics):
        suffix = "" if index == 0 else str(index + 1)
        members = [run for run in runs if run.numeric == numeric]
        ends = []
        for rule in dict.fromkeys(run.rule for run in members):
            x, mean, least, greatest = _seeds(run for run in members if run.rule == rule)
            if not x:
                continue
            data += _curve(rule, numeric, x, mean, least, greatest, suffix)
            ends.append((rule, mean[-1]))
        room = 15.0 / (height - 110) * (span[1] - span[0])
        for (rule, _), y in zip(ends, spread([end for _, end in ends], room, *span), strict=True):
            colour, _ = rule_look(rule)
            text = markup(rule, 18) + (" (control)" if rule == CONTROL else "")
            place = {
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix}",
                "xanchor": "left",
                "xshift": 6,
                "font": {"size": 12, "color": colour},
            }
            notes.append(note(text, 1.0, y, **place))
        start = index * (width + gap)
        longest = max((samples for run in members for samples, _ in run.curve), default=1)
        axes[f"xaxis{suffix}"] = axis(
            "samples learned", domain=[start, start + width], anchor=f"y{suffix}", tickformat=",d", range=[0, longest], nticks=6
        )
        axes[f"yaxis{suffix}"] = axis("accuracy, %" if index == 0 else "", anchor=f"x{suffix}", range=list(span), type="linear")
        heading = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "font": {"size": 13, "color": INK}}
        notes.append(note(f"<b>{markup(numeric)}</b>", start, 1.01, **heading))
    return {"data": data, "layout": layout(height, annotations=notes, margin={"l": 60, "r": 10, "t": 34, "b": 60}, **axes)}


def _seeds(runs: Iterable[Trace]) -> tuple[list[int], list[float], list[float], list[float]]:
    """The sample counts that all runs share, and there the mean, least and greatest accuracy in per cent."""
    curves = [dict(run.curve) for run in runs]
    x = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    values = [[100 * curve[samples] for curve in curves] for samples in x]
    return x, [fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values]


def _curve(
    rule: str, numeric: str, x: list[int], mean: list[float], least: list[float], greatest: list[float], suffix: str
) -> list[Figure]:
    colour, dash = rule_look(rule)
    place = {"type": "scatter", "xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": False}
    line = place | {
        "mode": "lines",
        "x": x,
        "y": mean,
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertext": [
            f"<b>{markup(rule)}</b> {markup(numeric)}<br>{samples:,} samples: {share:.1f} %" for samples, share in zip(x, mean, strict=True)
        ],
        "hoverinfo": "text",
    }
    if least == greatest:
        return [line]
    band = place | {
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*greatest, *reversed(least)],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.14,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    return [band, line]


def spread(places: Sequence[float], room: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """``places`` moved apart so that neighbours are at least ``room`` apart, each cluster centred where it was but within low and high where that
    can be; the order is kept.

    >>> spread([5.0, 5.0, 9.0], 1.0)
    [4.5, 5.5, 9.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    clusters: list[tuple[float, int]] = []
    for i in order:
        clusters.append((places[i], 1))
        while len(clusters) > 1:
            (below, m), (above, n) = clusters[-2:]
            if above - below >= room * (m + n) / 2:
                break
            clusters[-2:] = [((below * m + above * n) / (m + n), m + n)]
    spots = [centre + room * (k - (count - 1) / 2) for centre, count in clusters for k in range(count)]
    for i in range(len(spots) - 1, -1, -1):
        spots[i] = min(spots[i], high if i == len(spots) - 1 else spots[i + 1] - room)
    for i in range(len(spots)):
        spots[i] = max(spots[i], low if i == 0 else spots[i - 1] + room)
    moved = [0.0] * len(places)
    for i, spot in zip(order, spots, strict=True):
        moved[i] = spot
    return moved


def metric(traces: Sequence[Trace]) -> str:
    """What bars of cost show: ``instructions`` where they were counted, else ``macs``."""
    calls = [call for trace in traces for call in (*trace.infer_layers, *trace.learn_layers)]
    return "instructions" if any(call.instructions is not None for call in calls) else "macs"


def cost_by_run(group: Group) -> Figure:
    """The learning step and the inference of every run of the group's first seed, stacked by stage."""
    runs = [t for t in group.traces if t.seed == group.seeds[0] and (t.infer_layers or t.learn_layers)]
    rows = [f"{markup(t.rule, 18)}  {markup(t.numeric, 10)}" for t in runs]
    panels = [("learning step", [t.learn_layers for t in runs]), ("inference", [t.infer_layers for t in runs])]
    return _stacked(rows, panels, metric(runs))


def cost_by_layer(trace: Trace) -> Figure:
    """The layers of one run in the order of their first call, stacked by stage; what belongs to no layer is booked on the rule."""
    names = list(dict.fromkeys(call.name for call in (*trace.infer_layers, *trace.learn_layers)))
    names.sort(key=lambda name: name == trace.rule)
    rows = [f"<i>{markup(n, 18)}: the rule</i>" if n == trace.rule else markup(n, 24) for n in names]
    panels = [
        (title, [tuple(call for call in calls if call.name == name) for name in names])
        for title, calls in (("inference", trace.infer_layers), ("learning step", trace.learn_layers))
    ]
    return _stacked(rows, panels, metric([trace]))


def _stacked(rows: Sequence[str], panels: Sequence[tuple[str, Sequence[Sequence[CallCost]]]], what: str) -> Figure:
    """Horizontal bars, a row each and a panel each side by side on one scale; each bar ends in its total."""
    unit = "instructions" if what == "instructions" else "multiply-accumulates"
    stages = sorted({call.stage for _, cost in panels for calls in cost for call in calls}, key=lambda s: (stage_order(s), s))
    height = 96 + 26 * max(len(rows), 1)
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
    top = 62
    place = legend(y=1.0 + 24 / (height - top - 56), font={"size": 12}, itemclick=False, itemdoubleclick=False)
    extra = {
        "barmode": "stack",
        "annotations": notes,
        "showlegend": True,
        "legend": place,
        "margin": {"l": 110, "r": 10, "t": top, "b": 56},
    }
    return {"data": data, "layout": layout(height + 22, **extra, **axes)}


def _sum(calls: Iterable[CallCost], what: str) -> int | None:
    """The total of what is known, None where nothing is."""
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
