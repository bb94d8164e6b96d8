"""The tables of docs/results/scenarios.md: a shipped model in a world that changes, and a barometer that drifts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from results import load
from tables_rules import table
from tables_seeds import NAMES

from edgeff.bench.statistics import paired_difference
from edgeff.device.boards import load_board

PRESSURE = "pressure"


def _rows(name: str, parts: int) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """The rows of a results file by the first ``parts`` of their key."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in load(name).get("rows", []):
        found.setdefault(tuple(row["key"][:parts]), []).append(row)
    return found


def classes() -> str:
    """Each scenario and rule: accuracies with the controls, what is forgotten, samples, and the cost of a step."""
    lines, found = [], _rows("scenarios", 3)
    names = list(dict.fromkeys(name for name, _, _ in found))
    for (name, rule, numeric), rows in sorted(found.items(), key=lambda item: names.index(item[0][0])):
        if name == PRESSURE:
            continue
        control = found.get((name, "frozen", "int8"), [])
        over = None if rule == "frozen" else paired_difference(learned(rows), learned(control))
        means = {key: float(np.mean([row[key] for row in rows])) for key in ("before", "after", "control", "known_before", "known_after")}
        gained, best = means["after"] - means["before"], means["control"] - means["before"]
        recovered = f"{100 * gained / best:.0f} %" if best > 0.01 else "-"
        shares = [f"{100 * means[key]:.1f}" for key in means]
        cost: dict[str, Any] = next((row["cost"] for row in rows if "cost" in row), {})
        deviation = 100 * float(np.std([row["after"] for row in rows], ddof=1)) if len(rows) > 1 else 0.0
        shares[1] += f" ± {deviation:.1f}"
        counts = [recovered, over.shown() if over else "-", f"{rows[0]['samples']:,}", *_cost(cost)]
        lines.append([name, NAMES.get(rule, rule), numeric, str(len(rows)), *shares, *counts])
    heads = ["scenario", "rule", "numeric", "cases", "no learning", "learned", "BP float32", "known before", "known after"]
    heads += ["of BP's gain", "learned, above the head alone (95 %)"]
    return table([*heads, "samples", "RAM", "flash", "instructions per step", "ms", "µJ"], lines, 3)


def learned(rows: list[dict[str, Any]]) -> dict[int, float | None]:
    """Per cent right after learning, by case."""
    return {int(row["key"][-1]): 100 * row["after"] for row in rows}


def _cost(cost: dict[str, Any]) -> list[str]:
    if not cost:
        return ["-"] * 5
    latency, board = cost["latency_s"], load_board(cost["board"])
    shown = ["-", "-"]
    if latency is not None and board.power is not None:
        shown = [f"{1000 * latency:.2f}", f"{1e6 * board.power.joules(round(latency * board.clock_hz)):,.0f}"]
    return [f"{cost['static_ram_bytes'] + cost['stack_bytes']:,}", f"{cost['flash_bytes']:,}", f"{cost['instructions']:,}", *shown]


def pressure() -> str:
    """Each numeric: Pa RMS of readings, control and device, after four weeks and after a million samples, and what it takes."""
    lines = []
    for (name, _, numeric), rows in _rows("scenarios", 3).items():
        if name != PRESSURE:
            continue

        def of(key: str, rows: list[dict[str, Any]] = rows) -> str:
            values = [row[key] for row in rows]
            return f"{np.median(values):.0f} ({max(values):.0f})"

        times = [row["recovered"] for row in rows if row["recovered"]]
        within = f"{np.median(times):,.0f}, {len(times)} of {len(rows)}" if times else f"0 of {len(rows)}"
        shown = [of(key) for key in ("raw", "line", "after", "raw_later", "line_later", "later")]
        cost: dict[str, Any] = next((row["cost"] for row in rows if "cost" in row), {})
        lines.append([numeric, str(len(rows)), *shown[:3], within, *shown[3:], *_cost(cost)])
    heads = ["numeric", "devices", "readings", "line", "device", "samples to 50 Pa", "readings later", "line later", "device later"]
    return table([*heads, "RAM", "flash", "instructions per step", "ms", "µJ"], lines, 1)


ROUNDS = (1, 2, 5, 10, 15)
"""The rounds of a fleet that its table shows."""


def fleet() -> str:
    """Each rule and fleet: accuracy by round, and what moved."""
    lines = []
    for (rule, name, alpha, proximal), rows in _rows("fleet", 4).items():
        shown = []
        for number in ROUNDS:
            values = [100 * row["rounds"][number]["accuracy"] for row in rows]
            shown.append(f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""))
        moved = [sum(done[key] for done in rows[0]["rounds"]) / 1e6 for key in ("bytes_down", "bytes_up")]
        lost = sum(done["diverged"] for row in rows for done in row["rounds"])
        dealt = "all on one" if name == "alone" else "evenly" if alpha is None else f"Dirichlet {alpha:g}"
        names = f"{NAMES.get(rule, rule)}{', FedProx' if proximal else ''}"
        lines.append([names, name, dealt, str(len(rows)), *shown, *(f"{value:.1f}" for value in moved), str(lost)])
    heads = ["rule", "fleet", "data", "seeds", *(f"round {number}" for number in ROUNDS), "MB to devices", "MB from devices", "diverged"]
    return table(heads, lines, 3) if lines else "Not measured yet."


SECTIONS: dict[str, Callable[[], str]] = {"scenarios": classes, "pressure": pressure, "fleet": fleet}
