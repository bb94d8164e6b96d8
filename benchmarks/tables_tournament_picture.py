"""Draws the pictures of docs/results/tournament.md: each task's accuracy against RAM, and differences to back-propagation in equal RAM.

A colour is a rule's in every picture of edgeff; squares are int8 learned by the C, circles float32 on the host. ``pictures`` gives the SVGs
by file name, those of tasks that have rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log2
from statistics import fmean

from svg import circle, line, sheet, square, text
from tables_tournament import BY, CONTROL, KB, SHOWN, Entry, Equal, every_equal, less, ram, rows
from tournament import BUDGETS_KB, FIELDS, NUMERICS, RULES, SEEDS

from edgeff.report.style import GRID, INK, MUTED, rule_look

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 52
ROW, PANEL, PANEL_LEFT, PANEL_GAP = 26, 300, 170, 56
FARTHEST = 20.0
"""Points of difference at the edge of the picture of equal RAM; what is beyond is drawn at the edge, with its number."""


def mark(x: float, y: float, numeric: str, colour: str) -> str:
    """A square for int8, a ring for float32."""
    if numeric == "int8":
        return square(x, y, 8, colour)
    return circle(x, y, 4, "#ffffff", f' stroke="{colour}" stroke-width="2"')


def curve(task: str, rule: str, numeric: str) -> list[tuple[float, float]]:
    """(KB of RAM with the stack, mean accuracy in %) of a rule's networks for which all seeds are there, by RAM."""
    points = []
    for network in FIELDS[task].networks(rule, numeric):
        size, found = ram(task, network, rule, numeric), rows(task, network, rule, numeric)
        values = [row["accuracy"] for row in found if row["accuracy"] is not None]
        if size is not None and values and len(found) == SEEDS:
            points.append((size / KB, fmean(values)))
    return sorted(points)


def task_picture(task: str) -> str:
    """Accuracy against RAM: a line a rule and numeric through its networks; "" for a task without rows."""
    curves = {(rule, numeric): points for rule in RULES for numeric in NUMERICS if (points := curve(task, rule, numeric))}
    every = [point for points in curves.values() for point in points]
    if not every:
        return ""
    first, last = floor(log2(min(size for size, _ in every))), ceil(log2(max(size for size, _ in every)))
    low, high = 5 * floor(min(share for _, share in every) / 5), 5 * ceil(max(share for _, share in every) / 5)

    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (log2(size) - first) / (last - first)

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - share) / (high - low)

    parts = []
    for share in range(low, high + 1, 5 if high - low <= 40 else 10):
        parts += [line(LEFT, y(share), WIDTH - RIGHT, y(share), GRID), text(LEFT - 8, y(share) + 4, f"{share} %", "end", MUTED)]
    for power in range(first, last + 1):
        parts += [
            line(x(2**power), TOP, x(2**power), HEIGHT - BOTTOM, GRID),
            text(x(2**power), HEIGHT - BOTTOM + 18, f"{2**power:g}", "middle", MUTED),
        ]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "KB of RAM to learn in, with the stack", "middle", MUTED))
    for (rule, numeric), points in reversed(curves.items()):  # rules that are another to the bit lie below it
        colour, dash = rule_look(rule)[0], ' stroke-width="1.5"' + ("" if numeric == "int8" else ' stroke-dasharray="4 3"')
        parts += [line(x(a), y(b), x(c), y(d), colour, dash) for (a, b), (c, d) in pairwise(points)]
        parts += [mark(x(size), y(share), numeric, colour) for size, share in points]
    for place, rule in enumerate(dict.fromkeys(rule for rule, _ in curves)):
        parts += [
            mark(WIDTH - RIGHT + 18, TOP + 10 + 22 * place, "int8", rule_look(rule)[0]),
            text(WIDTH - RIGHT + 30, TOP + 14 + 22 * place, plain_name(rule)),
        ]
    for place, numeric in enumerate(numeric for numeric in NUMERICS if any(key[1] == numeric for key in curves)):
        height = HEIGHT - BOTTOM - 30 + 22 * place
        parts += [mark(WIDTH - RIGHT + 18, height, numeric, MUTED), text(WIDTH - RIGHT + 30, height + 4, BY[numeric], colour=MUTED)]
    return sheet(WIDTH, HEIGHT, f"{task}: test accuracy and RAM to learn in, each rule in several widths", parts)


def plain_name(rule: str) -> str:
    return "frozen (control)" if rule == CONTROL else SHOWN.get(rule, rule)


def equal_picture() -> str:
    """The difference to back-propagation in equal RAM, of the best forward-only rule and of the last layer alone; "" without rows."""
    every = [one for one in every_equal() if one.bp and (one.best or one.control)]
    if not every:
        return ""
    places = [*dict.fromkeys((one.task, one.budget_kb) for one in sorted(every, key=lambda one: [*FIELDS].index(one.task)))]
    places.sort(key=lambda place: ([*FIELDS].index(place[0]), BUDGETS_KB.index(place[1])))
    height = TOP + 30 + ROW * len(places) + BOTTOM + 22
    parts: list[str] = []
    for number, numeric in enumerate(reversed(NUMERICS)):
        left = PANEL_LEFT + number * (PANEL + PANEL_GAP)
        parts += panel(left, BY[numeric], places, {(one.task, one.budget_kb): one for one in every if one.numeric == numeric})
    for row, (task, budget_kb) in enumerate(places):
        y = TOP + 30 + ROW * row
        if not row or places[row - 1][0] != task:
            parts += [line(16, y, PANEL_LEFT + 2 * PANEL + PANEL_GAP, y, GRID), text(16, y + 18, task)]
        parts.append(text(PANEL_LEFT - 8, y + 18, f"{budget_kb} KB", "end", MUTED))
    rules = [*dict.fromkeys(one.best.rule for one in every if one.best), CONTROL]
    width = PANEL_LEFT + 2 * PANEL + PANEL_GAP + 20
    for place, rule in enumerate(rules):
        x = 24 + place * (width - 40) / len(rules)
        parts += [mark(x, height - 16, "int8", rule_look(rule)[0]), text(x + 12, height - 12, plain_name(rule))]
    title = "Points above (right) or below (left) back-propagation in equal RAM, 95 % intervals"
    return sheet(width, height, title, parts)


def panel(left: float, name: str, places: Sequence[tuple[str, int]], found: dict[tuple[str, int], Equal]) -> Iterator[str]:
    """One numeric's differences, a row a task and budget."""
    top, bottom = TOP + 30, TOP + 30 + ROW * len(places)

    def x(points: float) -> float:
        return left + PANEL * (max(-FARTHEST, min(FARTHEST, points)) + FARTHEST) / (2 * FARTHEST)

    yield text(left + PANEL / 2, TOP + 8, name, "middle")
    for tick in range(-int(FARTHEST), int(FARTHEST) + 1, 10):
        yield line(x(tick), top, x(tick), bottom, INK if tick == 0 else GRID)
        yield text(x(tick), bottom + 16, f"{tick:+d}" if tick else "BP", "middle", MUTED)
    for row, place in enumerate(places):
        one = found.get(place)
        if one is None:
            continue
        for offset, entry in ((8, one.best), (18, one.control)):
            yield from drawn(entry, one, x, top + ROW * row + offset)


def drawn(entry: Entry | None, one: Equal, x: Callable[[float], float], y: float) -> Iterator[str]:
    """A rule's difference with its interval; one beyond the edge has its number."""
    apart = None if entry is None else less(entry, one.bp)
    if entry is None or apart is None:
        return
    colour, half = rule_look(entry.rule)[0], apart.half or 0.0
    yield line(x(apart.mean - half), y, x(apart.mean + half), y, colour, ' stroke-width="2"')
    yield mark(x(apart.mean), y, one.numeric, colour)
    if abs(apart.mean) > FARTHEST:
        inner = -12 if apart.mean > 0 else 12
        yield text(x(apart.mean) + inner, y + 4, f"{apart.mean:+.0f}", "end" if apart.mean > 0 else "start", colour, 11)


def pictures() -> dict[str, str]:
    """The SVGs by file name."""
    every = {f"tournament_{task}.svg": task_picture(task) for task in FIELDS} | {"tournament.svg": equal_picture()}
    return {name: drawn_picture for name, drawn_picture in every.items() if drawn_picture}
