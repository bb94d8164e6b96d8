"""The table of learning steps as graphs, for docs/results, from ``benchmarks/results/training_graphs.json``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table

RUNTIMES = ("ONNX Runtime", "LiteRT", "TFLM")
HOLD_STATE = RUNTIMES[:2]


def equality(row: dict[str, Any], runtime: str) -> str:
    """What differs between a runtime and the twin, over all steps that were compared one by one."""
    graph = row[runtime]
    if row["key"][2] != "float32":
        return f"{graph['differing']:,} of {row['state'] * graph['steps_compared']:,}"
    return f"{graph['largest_difference']:.0e}"


def share(percent: float | None) -> str:
    """An accuracy; none where a step alone computes no scores."""
    return "-" if percent is None else f"{percent:.2f}"


def beginning(row: dict[str, Any]) -> list[str]:
    """The cells that name a row."""
    network, rule, numeric = row["key"]
    return [f"{network}, {row['steps']:,} steps", f"`{rule}`", numeric]


def measured(*runtimes: str) -> list[dict[str, Any]]:
    """The rows in which every one of ``runtimes`` ran."""
    rows = [row for row in load("training_graphs").get("rows", []) if "refused" not in row]
    return [row for row in rows if all("bytes" in row.get(runtime, {}) for runtime in runtimes)]


def training_graphs() -> str:
    """A row for each network, rule and numeric: equality, accuracy, time and size."""
    lines = []
    for row in measured(*HOLD_STATE):
        graphs = [row[runtime] for runtime in HOLD_STATE]
        lines.append(
            [
                *beginning(row),
                *(equality(row, runtime) for runtime in HOLD_STATE),
                *(share(each["accuracy"]) for each in (row["c"], *graphs)),
                *(f"{each['step_us']:,.0f}" for each in (row["c"], *graphs)),
                *(f"{each['bytes'] / 1000:,.0f}" for each in graphs),
            ]
        )
    head = ["network", "rule", "numeric", *(f"differing, {runtime}" for runtime in HOLD_STATE)]
    head += [f"{what}, {name}" for what in ("accuracy", "us") for name in ("C", *HOLD_STATE)]
    return table([*head, *(f"kB, {runtime}" for runtime in HOLD_STATE)], lines, 3)


def training_graphs_tflm() -> str:
    """The same for TFLM."""
    lines = []
    for row in measured("TFLM"):
        graph = row["TFLM"]
        accuracies = [share(row["c"]["accuracy"]), share(graph["accuracy"])]
        lines.append([*beginning(row), equality(row, "TFLM"), *accuracies, f"{graph['step_us']:,.0f}", f"{graph['bytes'] / 1000:,.0f}"])
    return table(["network", "rule", "numeric", "differing", "accuracy, C", "accuracy, TFLM", "us", "kB"], lines, 3)


def training_graphs_refused() -> str:
    """What has no graph, or does not run on a device at all, and why."""
    lines = []
    for row in load("training_graphs").get("rows", []):
        network, rule, numeric = row["key"]
        reasons = {"the C and every graph": row["refused"]} if "refused" in row else {}
        reasons |= {runtime: row[runtime]["refused"] for runtime in RUNTIMES if "refused" in row.get(runtime, {})}
        lines += [[network, f"`{rule}`", numeric, where, reason] for where, reason in reasons.items()]
    return table(["network", "rule", "numeric", "not in", "reason"], lines, 5)


SECTIONS: dict[str, Callable[[], str]] = {
    "training_graphs": training_graphs,
    "training_graphs_tflm": training_graphs_tflm,
    "training_graphs_refused": training_graphs_refused,
}
