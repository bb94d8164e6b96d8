"""The tables on learning rules, for the README and docs/rules/README.md, from ``benchmarks/results/*.json`` and from the registry."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

from results import load

from edgeff import registry
from edgeff.report.comparison import comparisons, grid
from edgeff.report.record import from_json


def table(head: list[str], rows: Iterable[list[str]], left: int = 1) -> str:
    """A Markdown table; the columns after the first ``left`` are right-aligned."""
    rule = ["---" if index < left else "---:" for index in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def mean_of(values: list[float], digits: int = 1) -> str:
    """The mean with its deviation, and how many seeds where there are not several."""
    if not values:
        return "-"
    return f"{fmean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else " (1 seed)")


def rules_list() -> str:
    """Every rule with its page, source, where its step runs and what it keeps."""
    lines = []
    for name, rule in registry.rules.items():
        where = ", ".join(rule.numerics) or "host only"
        lines.append([f"[`{name}`]({name}.md)", rule.summary, rule.source, where, rule.stores])
    return table(["rule", "in a line", "source", "learns on a device in", "a step keeps"], lines, 5)


def compared(task: str) -> str:
    """The comparison of rules on a task's network."""
    rows = [row["run"] for row in load("rules").get("rows", []) if row["key"][0] == task]
    found = comparisons(from_json({"schema": 1, "runs": rows})) if rows else ()
    parts = []
    for comparison in found:
        made = grid(comparison)
        head = [f"{comparison.title}: rule", *(f"{h.group}: {h.short}" if h.group else h.short for h in made.headings[1:-1])]
        cells = [[text or "-" for text in row[:-1]] for row in made.rows]
        bold = [[f"**{row[0]}**" if control else row[0], *row[1:]] for row, control in zip(cells, made.control, strict=True)]
        parts.append(table(head, bold))
    return "\n\n".join(parts)


def rows_by(name: str, part: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The rows of a results file by the part of their key that names the configuration."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in load(name).get("rows", []):
        found.setdefault(str(row["key"][part]), []).append(row)
    return found


def host_speed_rules() -> str:
    lines = [
        [
            f"{row['key'][0]}, {row['key'][1]}",
            f"{row['epoch_s_edgeff']:.2f}",
            f"{row['epoch_s_torch']:.2f}",
            f"{row['ratio']:.2f}",
            f"{row['ratios'][0]:.2f} to {row['ratios'][-1]:.2f}",
        ]
        for row in load("host_speed_rules").get("rows", [])
    ]
    return table(["an epoch of 60,000 samples", "edgeff, s", "PyTorch, s", "edgeff / PyTorch, median", "epochs between"], lines)


SECTIONS = {
    "rules_list": rules_list,
    "rules_digits": lambda: compared("digits"),
    "rules_mnist": lambda: compared("mnist"),
    "rules_cifar10": lambda: compared("cifar10"),
    "host_speed_rules": host_speed_rules,
}
