"""Learning curves: accuracy on the test samples against samples learned."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from edgeff.ir import Trace
from edgeff.report.figures.parts import Figure, axis, layout, note, ordered_numerics, spread
from edgeff.report.rows import Group
from edgeff.report.style import CONTROL, INK, markup, rule_look


def learning_curves(group: Group) -> Figure:
    """Accuracy against samples learned, one panel per numeric, each line named at its end; the control is grey and dotted.

    For a rule with several seeds the line is their mean and the band reaches from the lowest to the highest.
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
    """The sample counts that all runs share, and at each the mean, lowest and highest accuracy in per cent."""
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
