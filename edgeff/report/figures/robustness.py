"""Accuracy of models under attack against epsilon, one panel per attack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgeff.report.figures.parts import Figure, axis, layout, legend, note
from edgeff.report.style import INK, MUTED, markup, rule_look
from edgeff.studies.attack import Attack, Run

MARKS = ("circle", "square", "diamond", "triangle-up", "x", "star")
"""Dashes that distinguish models of one rule, which share its colour."""


def accuracy_against_epsilon(attack: Attack) -> Figure:
    """FGSM of the cross-entropy at the left (dotted: float32 gradient) and PGD on the right; both start at the unmoved samples."""
    data: list[Figure] = []
    counts: Counter[str] = Counter()
    for run in attack.runs:
        mark = MARKS[counts[run.rule or ""] % len(MARKS)]
        counts[run.rule or ""] += 1
        sweep = run.sweep
        data.append(_line(run, [point.fgsm_float64 for point in sweep.points], mark, "x", "FGSM"))
        data.append(_line(run, [point.fgsm_float32 for point in sweep.points], mark, "x", "FGSM, float32 gradient", narrow=True))
        data.append(_line(run, [point.pgd for point in sweep.points], mark, "x2", "PGD"))
    data.append(_key())
    titles = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "font": {"size": 13, "color": INK}}
    losses = attack.settings.losses
    worst = f"the worst of {' and '.join(losses)}" if len(losses) > 1 else losses[0]
    notes = [note("<b>FGSM of the cross-entropy</b>", 0.0, 1.01, **titles), note(f"<b>PGD</b>, {worst}", 0.53, 1.01, **titles)]
    furthest = attack.settings.epsilons[-1]
    axes = {}
    for suffix, domain in (("", [0.0, 0.47]), ("2", [0.53, 1.0])):
        ends = {"domain": domain, "anchor": f"y{suffix}", "range": [0, 1.03 * furthest]}
        axes[f"xaxis{suffix}"] = axis("epsilon, a share of the inputs' range", **ends)
        axes[f"yaxis{suffix}"] = axis("" if suffix else "accuracy, %", anchor=f"x{suffix}", range=[-2, 102])
    more = {"annotations": notes, "showlegend": True, "legend": legend(y=1.1), "margin": {"l": 60, "r": 10, "t": 70, "b": 60}}
    return {"data": data, "layout": layout(480, **more, **axes)}


def _line(run: Run, shares: Sequence[float], mark: str, panel: str, what: str, *, narrow: bool = False) -> Figure:
    colour, dash = rule_look(run.rule or "")
    epsilons, shares = [0.0, *(point.epsilon for point in run.sweep.points)], [run.sweep.natural, *shares]
    texts = [f"<b>{markup(run.model)}</b><br>{what} at {eps:g}: {100 * share:.1f} %" for eps, share in zip(epsilons, shares, strict=True)]
    texts[0] = f"<b>{markup(run.model)}</b><br>unmoved: {100 * shares[0]:.1f} %"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": markup(run.model, 40),
        "legendgroup": markup(run.model, 40),
        "showlegend": what == "FGSM",
        "x": epsilons,
        "y": [100 * share for share in shares],
        "xaxis": panel,
        "yaxis": panel.replace("x", "y"),
        "line": {"color": colour, "dash": "dot" if narrow else dash, "width": 1 if narrow else 2},
        "marker": {"symbol": f"{mark}-open" if narrow else mark, "size": 7, "color": colour},
        "hovertext": texts,
        "hoverinfo": "text",
    }


def _key() -> Figure:
    """The legend's entry for the dotted lines."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "by a float32 gradient",
        "x": [None],
        "y": [None],
        "line": {"color": MUTED, "dash": "dot", "width": 1},
        "marker": {"symbol": "circle-open", "size": 7, "color": MUTED},
        "hoverinfo": "skip",
        "showlegend": True,
    }
