"""The table of learning steps as graphs, for docs/results, from ``benchmarks/results/training_graphs.json``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table

RUNTIMES = ("ONNX Runtime", "LiteRT")


def equality(row: dict[str, Any], runtime: str) -> str:
    """What differs between a runtime and the twin, over all steps that were compared one by one."""
    graph = row[runtime]
    if row["key"][2] != "float32":
        return f"{graph['differing']:,} of {row['state'] * graph['steps_compared']:,}"
    return f"{graph['largest_difference']:.0e}"


def training_graphs() -> str:
    """A row for each network, rule and numeric: equality, accuracy, time and size."""
    lines = []
    for row in load("training_graphs").get("rows", []):
        if "refused" in row:
            continue
        network, rule, numeric = row["key"]
        graphs = [row[runtime] for runtime in RUNTIMES]
        lines.append(
            [
                f"{network}, {row['steps']:,} steps",
                f"`{rule}`",
                numeric,
                *(equality(row, runtime) for runtime in RUNTIMES),
                *(f"{each['accuracy']:.2f}" for each in (row["c"], *graphs)),
                *(f"{each['step_us']:,.0f}" for each in (row["c"], *graphs)),
                *(f"{each['bytes'] / 1000:,.0f}" for each in graphs),
            ]
        )
    head = ["network", "rule", "numeric", *(f"differing, {runtime}" for runtime in RUNTIMES)]
    head += [f"{what}, {name}" for what in ("accuracy", "us") for name in ("C", *RUNTIMES)]
    return table([*head, *(f"kB, {runtime}" for runtime in RUNTIMES)], lines, 3)


SECTIONS: dict[str, Callable[[], str]] = {"training_graphs": training_graphs}
