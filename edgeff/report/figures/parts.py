"""The common parts of figures: plotly's mappings of ``data`` and ``layout``, axes, texts, legends, and texts moved apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from edgeff.ir import Trace
from edgeff.report.style import GRID, INK, MUTED, RULE_LINE

Figure = dict[str, Any]
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
NUMERIC_ORDER = ("float32", "int16", "int8")


def layout(height: int, **more: Any) -> Figure:
    """The common layout of figures; ``axis`` makes the axes."""
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
    """Text in a figure, without an arrow; ``text`` must already be escaped."""
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"size": 12, "color": MUTED}} | more


def legend(**more: Any) -> Figure:
    """A legend in one line above the figure."""
    place = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12}, "traceorder": "normal"}
    return place | more


def key(name: str, symbol: str, colour: str, **more: Any) -> Figure:
    """A legend entry without a point."""
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


def ordered_numerics(traces: Iterable[Trace]) -> list[str]:
    """The numerics of traces, edgeff's own first and from wide to narrow."""
    numerics = {trace.numeric for trace in traces}
    return [*(n for n in NUMERIC_ORDER if n in numerics), *sorted(numerics - set(NUMERIC_ORDER))]


def spread(places: Sequence[float], room: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """``places`` moved so that neighbours are at least ``room`` apart, each cluster centred at its old place; the order is kept.

    All stay between ``low`` and ``high`` if possible.

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
