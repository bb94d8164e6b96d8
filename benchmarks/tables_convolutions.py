"""The tables of docs/results/convolutions.md on default settings and on blocks that learn alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from results import load
from tables_rules import mean_interval, table

from edgeff.device.boards import load_board

BOARD = "nucleo_l4r5zi"
LEARNED = 2400
"""Samples of a row that does not say how many: FSDD's."""

TASKS = {"fsdd": "DS-CNN, FSDD", "kws_open": "DS-CNN, keywords", "cifar10": "ResNet-8, CIFAR-10 at 16 x 16"}
WAYS = {
    ("bp", 32): "back-propagation, float32, whole network",
    ("bp", 8): "back-propagation, int8, whole network",
    ("chain", 8): "mono_forward, int8, one block at a time, exit chosen",
    ("frozen", 32): "last layer alone, float32",
    ("frozen", 8): "last layer alone, int8",
    ("shuffled", 8): "first block, labels of other samples",
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
    """CNNs by blocks beside back-propagation and the controls: accuracy, distance to back-propagation, and what it takes."""
    rows: list[dict[str, Any]] = load("chain")["rows"]
    lines = []
    for task, shown in TASKS.items():
        by = {way: {row["key"][3]: row for row in rows if row["key"][:3] == [way[0], task, way[1]]} for way in WAYS}
        for way, name in WAYS.items():
            found = by[way]
            if not found:
                continue
            tests = [row["test"] for row in found.values()]
            paired = [row["test"] - by["bp", 32][seed]["test"] for seed, row in found.items() if seed in by["bp", 32]]
            off = "-" if way == ("bp", 32) or len(paired) < 2 else mean_interval(paired)
            chosen = list(found.values())
            taken = effort(task, *way)
            lines.append([shown, name, str(len(tests)), spread(tests), off, exits(chosen), begun_again(chosen), *taken, erases(chosen)])
    heads = [
        "network, task",
        "what learns",
        "seeds",
        "test accuracy, %",
        "minus back-propagation (95 %)",
        "exits chosen",
        "blocks begun again",
    ]
    return table([*heads, "static RAM + stack, bytes", "hours", "joules", "erases of flash"], lines, 2)


def steps_of(task: str, what: str, bits: int) -> list[dict[str, Any]]:
    """What a step takes, of each block that learns alone or of the network; empty where it was not measured."""
    return [step for row in load("chain")["rows"] if row["key"] == ["cost", task, what, bits] for step in row["steps"]]


def in_all(task: str, what: str, bits: int, figure: str) -> float:
    """What ``figure`` of a step comes to, over all samples in all passes of all blocks."""
    settings = next(row["settings"] for row in load("chain")["rows"] if row["key"][:3] == [what, task, bits])
    return float(settings["passes"] * settings.get("learned", LEARNED) * sum(step[figure] for step in steps_of(task, what, bits)))


def hours(task: str, what: str, bits: int) -> float:
    """The modelled hours that learning takes."""
    return in_all(task, what, bits, "learn_cycles") / load_board(BOARD).clock_hz / 3600


def ram(task: str, what: str, bits: int) -> int:
    """The most static RAM and stack of a block's program, or that of the network's, in bytes."""
    return max(map(taken, steps_of(task, what, bits)))


def effort(task: str, what: str, bits: int) -> list[str]:
    """RAM, hours and joules for the table."""
    if not (steps := steps_of(task, what, bits)):
        return ["-"] * 3
    largest = max(steps, key=taken)
    shown = f"{largest['static_ram']:,} + {largest['stack']:,}"
    return [shown, f"{hours(task, what, bits):.1f}", f"{in_all(task, what, bits, 'learn_uj') / 1e6:,.0f}"]


def erases(rows: Iterable[dict[str, Any]]) -> str:
    """The erases of flash of a seed, and in how many places of blocks."""
    counts = {(row["erases"], len(row["restarts"])) for row in rows if len(row.get("exits", ())) > 1}
    return ", ".join(f"{times} in {places}" for times, places in sorted(counts)) or "-"


def exits(rows: list[dict[str, Any]]) -> str:
    """How often each exit was chosen."""
    counts = Counter(row["exit"] for row in rows if len(row.get("exits", ())) > 1)
    return ", ".join(f"{number}: {count}x" for number, count in sorted(counts.items())) or "-"


def begun_again(rows: Iterable[dict[str, Any]]) -> str:
    """How many blocks diverged and began again at half the rate, of all."""
    counts = [count for row in rows for count in row.get("restarts", ())]
    return f"{sum(count > 0 for count in counts)} of {len(counts)}" if counts else "-"


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
