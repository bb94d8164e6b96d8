"""Draws accuracy against the RAM that learning takes, from ``benchmarks/results``, into docs/pictures.

``accuracy_ram.svg``: each rule, of ``rules.json``; ``accuracy_ram_blocks.svg``: whole CNNs by blocks and otherwise, of ``chain.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log10
from statistics import fmean
from typing import NamedTuple

from results import load
from svg import circle, line, sheet, square, text
from tables_convolutions import ram
from tables_seeds import PROTOCOL

from edgeff.report.style import GRID, MUTED, rule_look

TASK, NETWORK = "cifar10", "cnn_small"
TITLE = f"{NETWORK} on a subset of CIFAR-10: test accuracy and RAM to learn without the stack, float32"
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 52
HIDDEN = ("frozen+ff", "frozen+scff", "frozen+norm")  # controls of single rules, which the table has


def points() -> list[tuple[str, float, float, int]]:
    """(rule, KB of RAM to learn, mean accuracy in %, count of seeds), the most accurate first."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for row in load("rules")["rows"]:
        task, network, rule = row["key"][:3]
        shown = (task, network) == (TASK, NETWORK) and rule not in HIDDEN and PROTOCOL in row["key"]
        if shown and row["run"].get("memory", {}).get("arena_bytes"):
            rows.setdefault(rule, []).append((row["run"]["memory"]["arena_bytes"] / 1000, 100 * row["run"]["accuracy"]["float"]))
    made = [(rule, fmean(ram for ram, _ in found), fmean(share for _, share in found), len(found)) for rule, found in rows.items()]
    return sorted(made, key=lambda point: -point[2])


Box = tuple[float, float, float, float]


def placed(left: float, height: float, width: float, taken: list[Box]) -> tuple[Box, str]:
    """Where a label of a point goes, (x0, y0, x1, y1), and its anchor: right or left of the point, or as little lower as is free."""
    for lower in range(0, 200, 4):
        for anchor, start in (("start", left + 9), ("end", left - 9 - width)):
            box = (start, height - 7 + lower, start + width, height + 7 + lower)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                return box, anchor
    return (left + 9, height - 7, left + 9 + width, height + 7), "start"


class Mark(NamedTuple):
    """A point of a picture: where, in the units of its axes, its colour, its text, and whether it is a square."""

    ram: float
    accuracy: float
    colour: str
    text: str
    square: bool = False


def picture() -> str:
    """The SVG's text for each rule."""
    found = points()
    most = 100 * (max(ram for _, ram, _, _ in found) // 100 + 1)
    marks = [
        Mark(ram, share, rule_look(rule.split("+")[0])[0], f"{rule} {share:.1f}" + ("" if seeds > 1 else ", 1 seed"))
        for rule, ram, share, seeds in found
    ]
    ticks = {float(tick): str(tick) for tick in range(0, int(most) + 1, 100)}
    return drawn(TITLE, "RAM in kB: weights that learn, state and activations", ticks, lambda ram: ram / most, (40, 70), marks)


BLOCKS_TITLE = "Learned by the C: DS-CNN on FSDD (dots), ResNet-8 on CIFAR-10 at 16 x 16 (squares)"
LOW, HIGH = 5, 1000
SHOWN = {
    ("chain", 8): ("one block at a time, int8", "mono_forward"),
    ("bp", 32): ("BP, float32", "bp"),
    ("bp", 8): ("BP, int8", "bp"),
    ("frozen", 32): ("last layer, float32", "frozen"),
    ("frozen", 8): ("last layer, int8", "frozen"),
}


def blocks_picture() -> str:
    """The SVG's text for whole CNNs: one block at a time, back-propagation and the last layer alone."""
    rows = load("chain")["rows"]
    marks = []
    for task, as_square in (("fsdd", False), ("cifar10", True)):
        for (what, bits), (name, rule) in SHOWN.items():
            tests = [row["test"] for row in rows if row["key"][:3] == [what, task, bits]]
            if tests:
                marks.append(Mark(ram(task, what, bits) / 1000, fmean(tests), rule_look(rule)[0], f"{name} {fmean(tests):.1f}", as_square))
    ticks = {float(tick): f"{tick:,}" for tick in (5, 10, 20, 50, 100, 200, 500, 1000)}
    scale = log10(HIGH / LOW)
    return drawn(BLOCKS_TITLE, "static RAM and stack in kB, logarithmic", ticks, lambda ram: log10(ram / LOW) / scale, (20, 100), marks)


def drawn(
    title: str, below: str, ticks: Mapping[float, str], part: Callable[[float], float], span: tuple[int, int], marks: Sequence[Mark]
) -> str:
    """An SVG's text.

    ``part``: where on the axis of RAM something is, 0 to 1; ``span``: the ends of the axis of accuracy.
    """
    low, high = span

    def x(ram: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * part(ram)

    def y(accuracy: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - accuracy) / (high - low)

    parts = []
    for share in range(low, high + 1, 10):
        parts += [line(LEFT, y(share), WIDTH - RIGHT, y(share), GRID), text(LEFT - 8, y(share) + 4, f"{share} %", "end", MUTED)]
    for tick, words in ticks.items():
        parts += [line(x(tick), TOP, x(tick), HEIGHT - BOTTOM, GRID), text(x(tick), HEIGHT - BOTTOM + 18, words, "middle", MUTED)]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, below, "middle", MUTED))
    boxes = [(x(mark.ram) - 6, y(mark.accuracy) - 6, x(mark.ram) + 6, y(mark.accuracy) + 6) for mark in marks]
    for mark in marks:
        left, height = x(mark.ram), y(mark.accuracy)
        box, anchor = placed(left, height, 7.2 * len(mark.text), boxes)
        boxes.append(box)
        at = box[0] if anchor == "start" else box[2]
        parts.append(square(left, height, 9, mark.colour) if mark.square else circle(left, height, 5, mark.colour))
        parts.append(text(at, box[3] - 3, mark.text, anchor))
    return sheet(WIDTH, HEIGHT, title, parts, LEFT)
