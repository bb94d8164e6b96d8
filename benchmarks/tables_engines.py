"""The table of docs/learn.md: engines through the runner on one emulated board."""

from __future__ import annotations

from collections.abc import Callable

from results import load
from tables_rules import table

NAMES = {"edgeff": "edgeff", "aifes": "AIfES", "trainlib": "PULP-TrainLib, STM32"}


def engines() -> str:
    """Each engine: accuracy before and after one pass, the instructions of a step, RAM, flash."""
    lines = []
    for row in load("engines")["rows"]:
        engine, rule, numeric, _ = row["key"]
        name = NAMES[engine] + (f" ({row['version']})" if row["version"] else "")
        accuracy = [f"{100 * row[when]:.1f}" for when in ("before", "after")]
        counts = [f"{row[what]:,}" for what in ("step_instructions", "static_ram_bytes", "stack_bytes", "flash_bytes")]
        lines.append([name, rule, numeric, *accuracy, *counts])
    head = [
        "engine",
        "rule",
        "numeric",
        "% before",
        "% after",
        "instructions of a step",
        "static RAM, bytes",
        "stack, bytes",
        "flash, bytes",
    ]
    return table(head, lines, 3)


SECTIONS: dict[str, Callable[[], str]] = {"engines": engines}
