"""Rules side by side: one line per rule with its mean accuracy and deviation, a faint mark per seed, a dotted line for the control."""

from __future__ import annotations

from statistics import fmean, stdev

from edgeff.report.comparison import Comparison, RuleResult
from edgeff.report.figures.parts import Figure, axis, layout
from edgeff.report.style import CONTROL, MUTED, markup, rule_look

_LINE = 26


def rules_compared(comparison: Comparison) -> Figure:
    """Accuracy in per cent along x, the rules from the best down y; those without a known accuracy are left out."""
    known = [result for result in comparison.results if result.accuracies]
    height = 90 + _LINE * len(known)
    data = [figure for result in known for figure in _marks(result)]
    control = next((fmean(result.accuracies) for result in known if result.rule == CONTROL), None)
    line = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": MUTED, "width": 1.5, "dash": "dot"}}
    names = [markup(result.rule, 24) for result in known]
    return {
        "data": data,
        "layout": layout(
            height,
            margin={"l": 130, "r": 20, "t": 20, "b": 50},
            xaxis=axis("test accuracy, %", type="linear"),
            yaxis=axis(type="category", categoryorder="array", categoryarray=names, autorange="reversed"),
            shapes=[] if control is None else [line | {"x0": control, "x1": control}],
        ),
    }


def _marks(result: RuleResult) -> list[Figure]:
    """The seeds of a rule, and their mean with its deviation."""
    colour, _ = rule_look(result.rule)
    name, values = markup(result.rule, 24), result.accuracies
    hollow = result.rule == CONTROL
    deviation = stdev(values) if len(values) > 1 else 0.0
    mean = {
        "type": "scatter",
        "mode": "markers",
        "x": [fmean(values)],
        "y": [name],
        "error_x": {"type": "data", "array": [deviation], "color": colour, "thickness": 1.5, "width": 5},
        "marker": {
            "size": 11,
            "color": colour,
            "symbol": "circle-open" if hollow else "circle",
            "line": {"width": 2 if hollow else 0, "color": colour},
        },
        "hovertext": [f"<b>{name}</b><br>{fmean(values):.2f} ± {deviation:.2f} %, {len(values)} seeds"],
        "hoverinfo": "text",
    }
    seeds = {
        "type": "scatter",
        "mode": "markers",
        "x": [*values],
        "y": [name] * len(values),
        "marker": {"size": 6, "color": colour, "opacity": 0.35},
        "hoverinfo": "skip",
    }
    return [seeds, mean]
