"""Accuracy against RAM of every choice: a mark each, a colour per rule, those on the front solid and the others faint."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeff.report.choices import Choice
from edgeff.report.figures.parts import Figure, axis, key, layout, legend, ordered_numerics
from edgeff.report.style import CONTROL, MUTED, markup, numeric_mark, rule_look

FAINT = 0.3
_LOG_FROM = 20.0


def choices_figure(chosen: Sequence[Choice], ram: str) -> Figure:
    """RAM in bytes along x, mean accuracy in per cent up y; ``customdata`` has the place of each mark's choice in ``chosen``.

    The page's script leaves out what the filters leave out.
    """
    known = [(index, choice) for index, choice in enumerate(chosen) if choice.mean is not None and choice.ram_bytes is not None]
    data: list[Figure] = []
    for rule in dict.fromkeys(choice.first.rule for _, choice in known):
        members = [(index, choice) for index, choice in known if choice.first.rule == rule]
        colour, _ = rule_look(rule)
        hollow = rule == CONTROL
        name = markup(members[0][1].rule, 18) + (" (control)" if hollow else "")
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "legendgroup": markup(rule),
                "showlegend": False,
                "x": [choice.ram_bytes for _, choice in members],
                "y": [round(choice.mean or 0.0, 3) for _, choice in members],
                "customdata": [index for index, _ in members],
                "marker": {
                    "symbol": [numeric_mark(choice.first.numeric, hollow=hollow) for _, choice in members],
                    "size": 11,
                    "opacity": [1 if choice.best else FAINT for _, choice in members],
                    "color": colour,
                    "line": {"width": 2 if hollow else 1, "color": colour if hollow else "#ffffff"},
                },
                "hovertext": [_hover(choice) for _, choice in members],
                "hoverinfo": "text",
            }
        )
        data.append(key(name, numeric_mark("float32", hollow=hollow), colour, legendgroup=markup(rule)))
    numerics = ordered_numerics([choice.first for _, choice in known])
    data += [key(markup(numeric), numeric_mark(numeric), MUTED, legend="legend2") for numeric in numerics]
    sizes = [choice.ram_bytes or 0 for _, choice in known] or [1]
    log = min(sizes) > 0 and max(sizes) / min(sizes) > _LOG_FROM
    x = axis(f"{ram}, bytes{' (logarithmic)' if log else ''}", tickformat=",d")
    ends = [math.log10(min(sizes) / 1.3), math.log10(1.3 * max(sizes))] if log else [0.0, 1.1 * max(*sizes, 1)]
    return {
        "data": data,
        "layout": layout(
            500,
            margin={"l": 70, "r": 20, "t": 84, "b": 60},
            xaxis=x | {"range": ends} | ({"type": "log", "dtick": "D2"} if log else {"type": "linear"}),
            yaxis=axis("accuracy, %", type="linear"),
            showlegend=True,
            legend=legend(y=1.09),
            legend2=legend(y=1.02, itemclick=False, itemdoubleclick=False),
        ),
    }


def _hover(choice: Choice) -> str:
    first = choice.first
    lines = [
        f"<b>{markup(choice.rule, 40)}</b> {markup(first.numeric)}",
        f"{markup(first.network)} on {markup(first.task)}, {markup(choice.of('board'))}",
        f"accuracy {choice.accuracy.shown()} %, seeds {choice.accuracy.counted}",
    ]
    if choice.above is not None:
        lines.append(f"above frozen {choice.above.shown()}")
    lines.append(f"RAM {choice.ram_bytes:,} B")
    return "<br>".join(lines)
