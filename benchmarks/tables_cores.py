"""The tables of docs/results/cores.md: the same programs on every core, on both emulators; CMSIS-NN beside what was published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table


def cores_learn() -> str:
    """Each program that learns, on each core by each compiler: the cost of a step, memory, and the learned state."""
    lines = []
    for row in _rows():
        network, rule, numeric, board, _ = row["key"]
        if not rule or sum(other["key"][:3] == row["key"][:3] for other in _rows()) < 4:
            continue
        step = row["lines"]["learn"]
        cycles = f"{step['cycles']:,}, {step['evidence'].partition('cycles ')[2]}" if step["cycles"] else "no model"
        sizes = [f"{value:,}" for value in (row["code_bytes"], row["stack_bytes"])]
        learned = f"`{row['state_sha256'][:8]}`"
        what = f"{network}, {rule}, {numeric}"
        lines.append([what, row["core"], f"`{board}`", row["toolchain"], f"{step['instructions']:,}", cycles, *sizes, learned])
    heads = ["program", "core", "board", "compiler", "instructions of a step", "cycles", "code, bytes", "stack, bytes", "learned state"]
    return table(heads, lines, 4)


def cores_emulators() -> str:
    """Each ELF that both emulators run: the instructions that they agree on, at so many addresses."""
    lines = []
    for row in _rows():
        network, rule, numeric, board, _ = row["key"]
        if len(row["emulators"]) < 2:
            continue
        what = ", ".join(part for part in (network, rule or "inference only", numeric) if part)
        counts = [f"{row['lines'][name]['instructions']:,}" if name in row["lines"] else "-" for name in ("infer", "learn")]
        calls = sum(len(line["calls"]) for line in row["lines"].values())
        lines.append([what, f"{row['core']}, `{board}`", row["toolchain"], *counts, f"{calls:,}", f"{row['addresses']:,}"])
    heads = ["program", "core and board", "compiler", "inference", "step", "calls", "addresses that ran"]
    return table(heads, lines, 3)


def cmsis_nn() -> str:
    """Modelled milliseconds of CMSIS-NN on each network and board beside those published for it."""
    lines = []
    for row in load("cmsis_nn")["rows"]:
        task, board = row["key"]
        flash = row["ms_with_flash"]
        shown = [f"{row['ms']:.1f} ({100 * row['difference']:+.0f} %)"]
        shown += [f"{flash:.1f} ({100 * row['difference_with_flash']:+.0f} %)" if flash else "-"]
        lines.append([f"`{board}`", task, f"{row['instructions']:,}", f"{row['published_ms']:g}", *shown, row["evidence"]])
    heads = ["board", "network, int8", "instructions", "ms published", "ms modelled", "and each constant from flash once", "cycles"]
    return table(heads, lines, 2)


def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = load("cores")["rows"]
    return rows


SECTIONS: dict[str, Callable[[], str]] = {"cores_learn": cores_learn, "cores_emulators": cores_emulators, "cmsis_nn": cmsis_nn}
