"""What ``edgeff fit`` answers from: ``python benchmarks/measured.py`` -> ``edgeff/bench/measured.json``.

A row is a network, a task, a rule, a numeric and a schedule, with the mean over seeds. Runs that diverged count as chance. Rules
that no device runs are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any

from results import load
from tables_seeds import PROTOCOL

from edgeff import registry
from edgeff.atomic import write_text
from edgeff.bench.measured import CONVOLUTIONAL, DENSE, FILE

DEVICE, HOST = "by the device's C, one sample at a time", "on the host, in mini-batches"
Row = dict[str, Any]


def row(place: tuple[str, ...], values: list[float], learned: str, source: str, schedule: str = "") -> Row:
    """``place`` is task, network, rule, numeric; ``values`` are shares."""
    task, network, rule, numeric = place
    kind = DENSE if network[:1].isdigit() and "c" not in network else CONVOLUTIONAL
    return {
        "task": task,
        "network": network,
        "kind": kind,
        "rule": rule,
        "numeric": numeric,
        "accuracy": round(fmean(values), 4),
        "deviation": round(stdev(values), 4) if len(values) > 1 else None,
        "seeds": len(values),
        "learned": learned,
        "source": f"benchmarks/results/{source}.json",
        "schedule": schedule,
    }


def by_seed(source: str, learned: str, place: Any, value: Any) -> list[Row]:
    """Rows of files with a row for each seed; ``place`` of a key is None for those that do not count."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for item in load(source).get("rows", []):
        key = place(item["key"])
        if key is not None:
            groups.setdefault(key, []).append(item)
    return [row(key, [value(item) for item in items], learned, source) for key, items in groups.items()]


def of_tournament(numeric: str) -> Callable[[list[Any]], tuple[str, ...] | None]:
    """The place of a row of the tournament in one numeric."""
    return lambda key: tuple(key[:4]) if key[3] == numeric else None


def with_twins(rows: list[Row]) -> list[Row]:
    """The rows, and for ``mempepita`` those of ``pepita``, which it is to the bit, where it has none of its own."""
    place = itemgetter("task", "network", "rule", "numeric", "schedule")
    places = {place(item) for item in rows}
    twins = [item | {"rule": "mempepita"} for item in rows if item["rule"] == "pepita"]
    return rows + [twin for twin in twins if place(twin) not in places]


def on_digits(key: list[Any]) -> tuple[str, ...] | None:
    rule, numeric, rounding, _, _ = key
    return ("digits", "64-32-10", rule, numeric) if rounding != "nearest" else None


def on_host(*, chosen: bool) -> Callable[[list[Any]], tuple[str, ...] | None]:
    """The place of a row with settings by the protocol, or with a rule's own."""
    return lambda key: (*key[:3], "float32") if (PROTOCOL in key) == chosen else None


def reached(item: Row) -> float:
    return 0.1 if item["diverged"] else item["accuracy"] / 100


def in_run(item: Row) -> float:
    return float(item.get("run", {}).get("accuracy", {}).get("float") or 0.1)


def whole_runs(name: str) -> list[Row]:
    """Rows of files with all seeds in one: ``conv_learning`` and ``conv_defaults``."""
    rows = []
    for item in load(name).get("rows", []):
        key = item["key"]
        shares = [value / 100 for value in item["test"]]
        if name == "conv_defaults":
            network, task, rule, numeric, schedule = key
            rows.append(row((task, f"conv_defaults/{network}", rule, numeric), shares, DEVICE, name, schedule))
        elif key[2] in ("none", "stochastic"):
            rows.append(row(("digits", "8x8x1-c8-c16-10", key[0], key[1]), shares, DEVICE, name))
    return rows


def main() -> None:
    """Writes the file."""
    rows = by_seed("device_learning", DEVICE, on_digits, reached)
    rows += by_seed("unseen", HOST, on_host(chosen=False), reached)
    rows += by_seed("rules", HOST, on_host(chosen=True), in_run)
    rows += by_seed("tournament", DEVICE, of_tournament("int8"), reached) + by_seed("tournament", HOST, of_tournament("float32"), reached)
    rows += whole_runs("conv_learning") + whole_runs("conv_defaults")
    rows = [
        item for item in with_twins(rows) if item["rule"] in registry.rules and item["numeric"] in registry.rules[item["rule"]].numerics
    ]
    rows.sort(
        key=lambda item: (item["kind"], item["task"], item["network"], item["rule"], item["numeric"], item["schedule"], item["source"])
    )
    lines = ",\n".join(json.dumps(item) for item in rows)
    write_text(FILE, f'{{"command": "python benchmarks/measured.py", "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
