"""The tables of docs/results/serial.md: the serial protocol's lines, and runs on an emulated board over its UART."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table


def serial_lines() -> str:
    """Each device: the random and mutated commands, and those it answered, of which with an error."""
    lines = []
    for row in _rows("lines"):
        _, rule, numeric, *model = row["key"]
        counts = [row[name] for name in ("commands", "answered", "refused_with_an_error", "longest_command")]
        what = f"12-4-12, {numeric}, `{model[0]}`" if model else f"12-8-4, {rule}, {numeric}"
        lines.append([what, *(f"{count:,}" for count in counts)])
    return table(["device side, with sanitizers", "commands", "answered", "of these with an error", "longest, characters"], lines)


def serial_runs() -> str:
    """Each run: what came of it, the time of an inference or a step by the board's clock, and what went over the wire."""
    lines = []
    for row in [*_rows("accuracy"), *_rows("performance"), *_rows("learn")]:
        kind, task, _ = row["key"]
        if kind == "accuracy":
            result, time = f"{100 * row['accuracy']:.1f} % of {row['samples']:,}", "-"
        elif kind == "performance":
            result, time = f"median of {len(row['throughputs'])}: {row['throughput']:.2f} inferences/s", f"{1000 * row['latency_s']:.2f}"
        else:
            after = f"{100 * row['before']:.1f} to {100 * row['after']:.1f} % of {row['samples']:,}"
            result, time = f"{after} after {row['steps']:,} samples, each once", f"{row['step_us'] / 1000:.2f}"
        lines.append([kind, f"{task}, `{row['board']}`", result, time, f"{row['commands']:,}", f"{row['noise']:,}"])
    return table(["run", "task and board", "result", "emulated ms of an inference or step", "commands sent", "lines of noise"], lines, 3)


def _rows(kind: str) -> list[dict[str, Any]]:
    return [row for row in load("serial_protocol")["rows"] if row["key"][0] == kind]


SECTIONS: dict[str, Callable[[], str]] = {"serial_lines": serial_lines, "serial_runs": serial_runs}
