"""One run's memory map as a figure: every tensor a rectangle, its calls along x and its bytes up y; persistent tensors below, the stack on
top. If an output overlaps an input of its call, the bytes of both are hatched.

Weights are many times larger than temporary tensors, so each of the three has its own scale; ``ram_parts`` gives them in proportion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgeff.ir import CallCost, Trace
from edgeff.report.figures.parts import Figure, axis, layout, legend, note
from edgeff.report.layer_names import short_name
from edgeff.report.line_names import line_title
from edgeff.report.style import INK, MUTED, ROLES, RULE_LINE, STACK_COLOUR, markup, shown

_DTYPE_SUFFIX = re.compile(r"(_(f32|i8|i16|i32))+$")
_MOST_LABELS = 64
# Widths in pixels: of the plot between its margins on a page of usual width, and of a label's character.
_WIDTH, _INSIDE, _ABOVE, _CHARACTER = 1000.0, 440, 60, 6.6
_PERSISTENT, _SCRATCH, _STACK = (0.0, 0.2), (0.25, 0.87), (0.92, 1.0)


def memory_figure(trace: Trace) -> Figure:
    """The memory map of a run."""
    stays = trace.memory_map
    calls = trace.calls
    count = max(len(calls), 1 + max((int(stay["last"]) for stay in stays), default=0))
    floor, top = scratch_bounds(trace)
    byte_heights = {
        "y": _INSIDE * (_PERSISTENT[1] - _PERSISTENT[0]) / max(floor, 1),
        "y2": _INSIDE * (_SCRATCH[1] - _SCRATCH[0]) / max(top - floor, 1),
    }
    data = []
    for role in dict.fromkeys((*ROLES, *(str(stay["role"]) for stay in stays))):
        for part, byte_height in byte_heights.items():
            members = [stay for stay in stays if stay["role"] == role and (stay["line"] == "persistent") == (part == "y")]
            if members:
                data.append(_bars(members, role, part, calls, _WIDTH / count, byte_height))
    if shared := shared_bytes(stays):
        data.append(_shared_bars(shared))
    axes: Figure = {
        "yaxis": axis("persistent, B", domain=list(_PERSISTENT), range=[0, max(floor, 1)], **_ticks(0, floor, 2), showgrid=False),
        "yaxis2": axis("scratch, B", domain=list(_SCRATCH), range=[floor, max(top, floor + 1)], **_ticks(floor, top, 6)),
    }
    stack = trace.memory.stack_bytes
    if stack is not None:
        data.append(_stack_bar(stack, count))
        axes["yaxis3"] = axis(
            "stack, B",
            domain=list(_STACK),
            range=[0, max(stack, 1)],
            tickmode="array",
            tickvals=[0, stack],
            ticktext=["0", f"{stack:,}"],
            showgrid=False,
        )
    for name in axes:
        axes[name]["title"]["standoff"] = 6
    shapes, notes = _dividers(trace, count)
    labelled = bool(calls) and count <= _MOST_LABELS
    names = [shown(_call_name(call, trace.rule), 30) for call in calls] if labelled else []
    ticks = (
        {"tickmode": "array", "tickvals": list(range(count)), "ticktext": [markup(n) for n in names], "tickangle": -90} if labelled else {}
    )
    below = 24 + 6.4 * max(map(len, names), default=5)
    x = axis("" if labelled else "call", range=[-0.5, count - 0.5], anchor="y", showgrid=False, type="linear", **ticks)
    x["tickfont"] = {"size": 11, "color": MUTED}
    return {
        "data": data,
        "layout": layout(
            round(_INSIDE + _ABOVE + below),
            barmode="overlay",
            xaxis=x,
            shapes=shapes,
            annotations=notes,
            showlegend=True,
            legend=legend(y=1.06, itemclick=False, itemdoubleclick=False),
            margin={"l": 84, "r": 10, "t": _ABOVE, "b": below},
            **axes,
        ),
    }


def scratch_bounds(trace: Trace) -> tuple[int, int]:
    """Where the scratch part of the arena begins and where the arena ends, in bytes from its start."""
    scratch = [int(stay["offset"]) for stay in trace.memory_map if stay["line"] != "persistent"]
    end = max((int(stay["offset"]) + int(stay["size_bytes"]) for stay in trace.memory_map), default=0)
    top = max(end, trace.memory.arena_bytes or 0)
    return min(scratch, default=top), top


def shared_bytes(stays: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The overlaps of an output with an input of the same call: the two tensors, the call, the first byte and the number of bytes."""
    scratch = [stay for stay in stays if stay["line"] != "persistent"]
    ends: dict[int, list[Mapping[str, Any]]] = {}
    for stay in scratch:
        ends.setdefault(stay["last"], []).append(stay)
    shared = []
    for output in scratch:
        for other in ends.get(output["first"], ()):
            first = max(output["offset"], other["offset"])
            size = min(output["offset"] + output["size_bytes"], other["offset"] + other["size_bytes"]) - first
            if other is not output and size > 0:
                place = {"call": output["first"], "offset": first, "size_bytes": size}
                shared.append({"output": output["tensor"], "input": other["tensor"], **place})
    return shared


def ram_parts(trace: Trace) -> list[tuple[str, int, str]]:
    """The parts of a run's RAM that are known, from the lowest: name, bytes and the role that gives their colour."""
    floor, top = scratch_bounds(trace)
    memory = trace.memory
    parts = (
        [("persistent: weights and state", floor, "variable"), ("scratch: input and activations", top - floor, "activation")]
        if trace.memory_map
        else []
    )
    if memory.static_ram_bytes is not None and trace.memory_map:
        parts.append(("other static", max(memory.static_ram_bytes - top, 0), "static"))
    if memory.stack_bytes is not None:
        parts.append(("stack", memory.stack_bytes, "stack"))
    return parts


def _bars(
    members: Sequence[Mapping[str, Any]], role: str, part: str, calls: Sequence[CallCost], call_width: float, byte_height: float
) -> Figure:
    """The rectangles of a role in one part, named if there is room: a call is ``call_width`` pixels, a byte ``byte_height``."""
    name, colour = ROLES.get(role, (markup(role), "#dddddd"))
    return {
        "type": "bar",
        "name": name,
        "x": [(stay["first"] + stay["last"]) / 2 for stay in members],
        "width": [stay["last"] - stay["first"] + 1 for stay in members],
        "base": [stay["offset"] for stay in members],
        "y": [stay["size_bytes"] for stay in members],
        "yaxis": part,
        "marker": {"color": colour, "line": {"color": "#ffffff", "width": 1.5}},
        "text": [_text(stay, call_width, byte_height) for stay in members],
        "textposition": "inside",
        "constraintext": "none",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": INK, "size": 11},
        "hovertext": [_hover(stay, calls) for stay in members],
        "hoverinfo": "text",
        "cliponaxis": True,
    }


def _shared_bars(shared: Sequence[Mapping[str, Any]]) -> Figure:
    return {
        "type": "bar",
        "name": "output over an input",
        "x": [both["call"] for both in shared],
        "width": [1] * len(shared),
        "base": [both["offset"] for both in shared],
        "y": [both["size_bytes"] for both in shared],
        "yaxis": "y2",
        "marker": {
            "color": "rgba(0,0,0,0)",
            "line": {"color": "#ffffff", "width": 1.5},
            "pattern": {"shape": "/", "fgcolor": INK, "size": 8, "solidity": 0.12},
        },
        "hovertext": [
            f"<b>{markup(str(both['output']))}</b> over {markup(str(both['input']))}<br>{both['size_bytes']:,} B at {both['offset']:,}"
            for both in shared
        ],
        "hoverinfo": "text",
        "cliponaxis": True,
    }


def _text(stay: Mapping[str, Any], call_width: float, byte_height: float) -> str:
    """A tensor's name, without its line, and its bytes, as far as there is room; empty if there is none."""
    name, size = shown(str(stay["tensor"]).removeprefix(f"{stay['line']}."), 30), f"{stay['size_bytes']:,} B"
    if stay["size_bytes"] * byte_height < 13:
        return ""
    room = (stay["last"] - stay["first"] + 1) * call_width / _CHARACTER
    return next((markup(text) for text in (f"{name}, {size}", name) if len(text) <= room), "")


def _call_name(call: CallCost, rule: str) -> str:
    """A call on the axis: its layer and, if the layer's name does not contain it, its kernel without the data type."""
    kernel = _DTYPE_SUFFIX.sub("", call.kernel.removeprefix("eff_"))
    if call.name == rule:
        return kernel
    name = short_name(call.name)
    return name if name.startswith(kernel) else f"{name} {kernel}"


def _hover(stay: Mapping[str, Any], calls: Sequence[CallCost]) -> str:
    end = stay["offset"] + stay["size_bytes"]
    lines = [f"<b>{markup(str(stay['tensor']))}</b>", f"{stay['size_bytes']:,} B at {stay['offset']:,} to {end:,}"]
    if stay["layer"]:
        lines.append(f"layer {markup(str(stay['layer']))}")
    if stay["line"] == "persistent":
        lines.append("persists")
    else:
        named = [
            f"{place + 1} ({markup(calls[place].kernel)})" if place < len(calls) else f"{place + 1}"
            for place in (stay["first"], stay["last"])
        ]
        lines.append(f"call {named[0]}" if stay["first"] == stay["last"] else f"calls {named[0]} to {named[1]}")
    return "<br>".join(lines)


def _stack_bar(stack: int, count: int) -> Figure:
    return {
        "type": "bar",
        "name": "stack at its deepest",
        "x": [(count - 1) / 2],
        "width": [count],
        "base": [0],
        "y": [stack],
        "yaxis": "y3",
        "marker": {
            "color": "#ffffff",
            "line": {"color": RULE_LINE, "width": 1},
            "pattern": {"shape": "/", "fgcolor": STACK_COLOUR, "size": 7, "solidity": 0.25},
        },
        "hovertext": [f"<b>stack</b><br>{stack:,} B at its deepest"],
        "hoverinfo": "text",
    }


def _dividers(trace: Trace, count: int) -> tuple[list[Figure], list[Figure]]:
    """The borders between the lines of the program, and the name of each line above its calls.

    The name of the first is left of its end, the others are right of their beginnings.
    """
    lengths = {name: len(line.calls) for name, line in trace.lines.items() if line.calls}
    if len(lengths) < 2 or sum(lengths.values()) > count:
        return [], []
    place = {"xref": "x", "yref": "paper", "yanchor": "bottom", "font": {"size": 12, "color": INK}}
    first, *others = lengths
    start = lengths[first]
    words = f"<b>{line_title(first)}</b>, {start} calls" if start > 3 else f"<b>{line_title(first)}</b>"
    shapes, notes = [], [note(words, start - 0.5, 1.0, xanchor="right", xshift=-6, **place)]
    for name in others:
        end = {"x0": start - 0.5, "x1": start - 0.5, "y0": 0, "y1": 1.03}
        shapes.append({"type": "line", "xref": "x", "yref": "paper", **end, "line": {"color": INK, "width": 1, "dash": "dot"}})
        words = f"<b>{markup(line_title(name), 30)}</b>, {lengths[name]} calls"
        notes.append(note(words, start - 0.5, 1.0, xanchor="left", xshift=6, **place))
        start += lengths[name]
    return shapes, notes


def _ticks(low: int, high: int, most: int) -> Figure:
    """Both ends exactly, and round numbers between them, away from the ends."""
    span = max(high - low, 1)
    rough = span / most
    power = 10 ** math.floor(math.log10(rough))
    step = max(1, round(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)))
    inner = [value for value in range(math.ceil(low / step) * step, high, step) if min(value - low, high - value) >= 0.45 * step]
    values = sorted({low, *inner, high})
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:,}" for value in values]}
