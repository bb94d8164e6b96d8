"""Accuracy against total RAM: every run a mark, every rule a colour, the control hollow; after learning, if it learns on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeff.ir import Trace
from edgeff.report.figures.parts import Figure, axis, key, layout, legend, note, ordered_numerics, spread
from edgeff.report.rows import control_accuracy, reached, written
from edgeff.report.style import CONTROL, MUTED, NO_RULE, markup, numeric_mark, rule_look

_LOG_FROM = 20.0
_MOST_NAMED = 24
_CHARACTER = 6.8  # width of a character of a name, in pixels


def plottable(traces: Sequence[Trace]) -> list[Trace]:
    """The runs whose total RAM and accuracy are both known."""
    return [t for t in traces if t.memory.total_ram_bytes is not None and reached(t) is not None]


def _point(run: Trace) -> tuple[int, float]:
    """The position of a plottable run: bytes and per cent."""
    return run.memory.total_ram_bytes or 0, 100 * (reached(run) or 0.0)


def accuracy_against_ram(traces: Sequence[Trace]) -> Figure:
    """Every run as a mark: total RAM in bytes along x, accuracy up y; colour shows the rule, shape the numeric; the control is hollow.

    A few runs are named beside their marks, many in a legend. A mark that lies under others is larger, so that it stays visible.
    """
    runs = plottable(traces)
    points = [_point(run) for run in runs]
    frame = _Frame.around(points)
    spots = [frame.pixels(*point) for point in points]
    named = len(runs) <= _MOST_NAMED
    drawn = [i for rule in dict.fromkeys(run.rule for run in runs) for i in range(len(runs)) if runs[i].rule == rule]
    sizes = {i: 11 + 6 * min(2, sum(math.dist(spots[i], spots[j]) < 3 for j in drawn[place + 1 :])) for place, i in enumerate(drawn)}
    data: list[Figure] = [*_numeric_lines(runs)]
    for rule in dict.fromkeys(run.rule for run in runs):
        members = [i for i in drawn if runs[i].rule == rule]
        colour, _ = rule_look(rule)
        hollow = rule == CONTROL
        name = _rule_words(rule)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "legendgroup": markup(rule),
                "x": [points[i][0] for i in members],
                "y": [points[i][1] for i in members],
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
            data.append(key(name, numeric_mark("float32", hollow=hollow), colour, legendgroup=markup(rule)))
    data += [key(markup(n), numeric_mark(n), MUTED, legend="legend2") for n in ordered_numerics(runs)]
    x = axis(
        "total RAM: weights, activations and stack, bytes" + (" (logarithmic)" if frame.log else ""), tickformat=",d", range=list(frame.x)
    )
    notes, beyond = _names(runs, spots, frame) if named else ([], 0.0)
    title = "accuracy, %" if any(run.rule in NO_RULE for run in runs) else "accuracy learned on the device, %"
    return {
        "data": data,
        "layout": layout(
            _Frame.height,
            margin={"l": 70, "r": 20 + beyond, "t": 40 if named else 64, "b": 60},
            xaxis=x | ({"type": "log", "dtick": "D2"} if frame.log else {"type": "linear"}),
            yaxis=axis(title, type="linear", range=list(frame.y)),
            annotations=notes,
            showlegend=True,
            legend=legend(y=1.09),
            legend2=legend(y=1.02, itemclick=False, itemdoubleclick=False),
        ),
    }


@dataclass(frozen=True)
class _Frame:
    """The ranges of the picture (x in powers of ten if it is logarithmic); it places runs in pixels of a page of usual width."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    width = 1060
    height = 460

    @classmethod
    def around(cls, points: Sequence[tuple[int, float]]) -> _Frame:
        """The frame that holds points of (bytes, per cent), starting at 0 bytes unless only a logarithm shows all sizes."""
        across = [x for x, _ in points] or [1]
        up = [y for _, y in points] or [0.0, 100.0]
        log = min(across) > 0 and max(across) / min(across) > _LOG_FROM
        x = (math.log10(min(across) / 1.3), math.log10(1.6 * max(across))) if log else (0.0, 1.12 * max(*across, 1))
        margin = max(1.0, 0.08 * (max(up) - min(up)))
        return cls(x, (max(0.0, min(up) - margin) if min(up) > 0 else -1.0, max(up) + margin), log)

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        across = math.log10(x) if self.log else x
        return (across - self.x[0]) / (self.x[1] - self.x[0]) * self.width, (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - 100)

    def per_cent(self, pixels: float) -> float:
        """The accuracy at a height in pixels."""
        return self.y[0] + pixels / (self.height - 100) * (self.y[1] - self.y[0])


def _rule_words(rule: str) -> str:
    """A rule's name in the picture, escaped."""
    return "inference alone" if rule in NO_RULE else markup(rule, 18) + (" (control)" if rule == CONTROL else "")


def _names(runs: Sequence[Trace], spots: Sequence[tuple[float, float]], frame: _Frame) -> tuple[list[Figure], float]:
    """The rules beside their marks, one text for marks that touch, and how many pixels they reach beyond the frame on the right."""
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
            names = [_rule_words(rule) for rule in rules]
            text = ", ".join(f'<span style="color:{rule_look(rule)[0]}">{name}</span>' for rule, name in zip(rules, names, strict=True))
            right = max(cluster, key=lambda i: spots[i][0])
            x = _point(runs[right])[0]
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


def _numeric_lines(runs: Sequence[Trace]) -> list[Figure]:
    """Thin lines that connect the numerics of one configuration."""
    tied: dict[tuple[object, ...], list[Trace]] = {}
    for run in runs:
        tied.setdefault((run.task, run.network, run.rule, run.board, run.target, run.seed), []).append(run)
    lines = []
    for members in tied.values():
        if len(members) < 2:
            continue
        members.sort(key=_point)
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [_point(run)[0] for run in members],
                "y": [_point(run)[1] for run in members],
                "line": {"color": rule_look(members[0].rule)[0], "width": 1},
                "opacity": 0.35,
                "legendgroup": markup(members[0].rule),
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return lines


def _run_hover(run: Trace, traces: Sequence[Trace]) -> str:
    after, control, memory = reached(run), control_accuracy(run, traces) if run.rule not in NO_RULE else None, run.memory
    lines = [f"<b>{_rule_words(run.rule)}</b> {markup(run.numeric)}"]
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
