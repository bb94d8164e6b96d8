"""The tables of docs/results/convolutions.md on default settings and on blocks that learn alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from results import load
from tables_rules import mean_interval, table

TASKS = {"fsdd": "FSDD", "kws_open": "keywords"}
WAYS = {
    "bp": "back-propagation, float32, whole network",
    "chain": "mono_forward, int8, one block at a time, exit chosen",
    "frozen": "last layer alone, float32",
    "shuffled": "first block, labels of other recordings",
}


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, or what there is."""
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "-" if not values else f"{values[0]:.1f}"


def conv_defaults() -> str:
    """Each rule, numeric and schedule by network and task."""
    rows = {tuple(row["key"]): row for row in load("conv_defaults")["rows"]}
    columns = list(dict.fromkeys((name, task) for name, task, *_ in rows))
    columns.sort(key=lambda column: column[1])
    ways = list(dict.fromkeys(tuple(way) for _, _, *way in rows))
    lines = []
    for way in ways:
        cells = [rows.get((*column, *way)) for column in columns]
        lines.append([", ".join(part for part in way if part), *(spread(row["test"]) if row else "-" for row in cells)])
    return table(["rule", *(f"{name}, {task}" for name, task in columns)], lines, 1)


def chain() -> str:
    """DS-CNN by blocks beside back-propagation and the controls: accuracy, distance to back-propagation, memory."""
    rows: list[dict[str, Any]] = load("chain")["rows"]
    memory = {tuple(row["key"][1:]): row for row in rows if row["key"][0] == "memory"}
    lines = []
    for task, shown in TASKS.items():
        by = {what: {row["key"][3]: row for row in rows if row["key"][:2] == [what, task]} for what in WAYS}
        for what, name in WAYS.items():
            found = by[what]
            if not found:
                continue
            tests = [row["test"] for row in found.values()]
            paired = [row["test"] - by["bp"][seed]["test"] for seed, row in found.items() if seed in by["bp"]]
            off = "-" if what == "bp" or len(paired) < 2 else mean_interval(paired)
            chosen = list(found.values())
            bytes_used = used(memory) if what == "chain" else "-"
            lines.append([shown, name, str(len(tests)), spread(tests), off, exits(chosen), begun_again(chosen), bytes_used])
    heads = ["task", "what learns", "seeds", "test accuracy, %", "minus back-propagation (95 %)", "exits chosen", "blocks begun again"]
    return table([*heads, "static RAM + stack, bytes"], lines, 2)


def exits(rows: list[dict[str, Any]]) -> str:
    """How often each exit was chosen."""
    counts = Counter(row["exit"] for row in rows if len(row.get("exits", ())) > 1)
    return ", ".join(f"{number}: {count}x" for number, count in sorted(counts.items())) or "-"


def begun_again(rows: Iterable[dict[str, Any]]) -> str:
    """How many blocks diverged and began again at half the rate, of all."""
    counts = [count for row in rows for count in row.get("restarts", ())]
    return f"{sum(count > 0 for count in counts)} of {len(counts)}" if counts else "-"


def used(memory: dict[tuple[Any, ...], dict[str, Any]]) -> str:
    """The most that a block's program of DS-CNN takes."""
    largest = max((row for (name, *_), row in memory.items() if name == "ds_cnn"), key=taken)
    return f"{largest['static_ram']:,} + {largest['stack']:,}"


def taken(row: dict[str, Any]) -> int:
    """Static RAM and stack, bytes."""
    return int(row["static_ram"] + row["stack"])


ARENAS = {"ds_cnn": ("DS-CNN", "kws"), "resnet8": ("ResNet-8", "ic"), "mobilenet_v1_025": ("MobileNetV1 .25", "vww")}
"""Networks as they are shown, and their rows in ``mlperf_tiny.json``."""


def chain_memory() -> str:
    """The RAM in which whole networks learn, one block at a time, beside what inference takes."""
    by: dict[str, list[dict[str, Any]]] = {}
    tflm = {row["key"][1]: row["tflm_total"] for row in load("mlperf_tiny")["rows"] if "tflm_total" in row}
    for row in load("chain")["rows"]:
        if row["key"][0] == "memory":
            by.setdefault(row["key"][1], []).append(row)
    lines = []
    for name, rows in by.items():
        parts = Counter(row["block"] for row in rows if row["part"])
        largest = max(rows, key=taken)
        steps = [row["learn_instructions"] / 1e6 for row in rows]
        shown = ", ".join(f"{block} in {count}" for block, count in parts.items()) or "none"
        lines.append(
            [
                ARENAS[name][0],
                f"{len({row['block'] for row in rows})}",
                shown,
                f"{largest['static_ram']:,} + {largest['stack']:,}",
                f"{largest['block']}",
                f"{min(steps):.1f} to {max(steps):.1f}",
                f"{tflm[ARENAS[name][1]]:,}",
            ]
        )
    heads = ["network", "blocks", "blocks in parts", "most static RAM + stack, bytes", "by block", "million instructions a step"]
    return table([*heads, "TFLM's arena to run it"], lines, 1)


SECTIONS: dict[str, Callable[[], str]] = {"conv_defaults": conv_defaults, "chain": chain, "chain_memory": chain_memory}
