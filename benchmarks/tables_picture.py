"""Draws docs/pictures/accuracy_ram.svg from ``benchmarks/results/rules.json``: each rule's accuracy against the RAM that it learns in."""

from __future__ import annotations

from html import escape
from statistics import fmean

from results import load
from tables_seeds import PROTOCOL

from edgeff.report.style import rule_look

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


def picture() -> str:
    """The SVG's text: plain shapes, no script, readable on white and on black."""
    found = points()
    most = 100 * (max(ram for _, ram, _, _ in found) // 100 + 1)
    low, high = 40, 70

    def x(ram: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ram / most

    def y(accuracy: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - accuracy) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" fill="#1f2328">{TITLE}</text>',
    ]
    for share in range(low, high + 1, 10):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#eceef0"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end" fill="#5f6770">{share} %</text>')
    for tick in range(0, int(most) + 1, 100):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eceef0"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#5f6770">{tick}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle" fill="#5f6770">'
        "RAM in kB: weights that learn, state and activations</text>"
    )
    taken = [(x(ram) - 6, y(accuracy) - 6, x(ram) + 6, y(accuracy) + 6) for _, ram, accuracy, _ in found]
    for rule, ram, accuracy, seeds in found:
        colour, left, height = rule_look(rule.split("+")[0])[0], x(ram), y(accuracy)
        text = f"{rule} {accuracy:.1f}" + ("" if seeds > 1 else ", 1 seed")
        box, anchor = placed(left, height, 7.2 * len(text), taken)
        taken.append(box)
        at = box[0] if anchor == "start" else box[2]
        parts.append(f'<circle cx="{left:.1f}" cy="{height:.1f}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{at:.1f}" y="{box[3] - 3:.1f}" text-anchor="{anchor}" fill="#1f2328">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])
