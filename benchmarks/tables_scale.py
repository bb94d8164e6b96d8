"""How ``edgeff bench`` scales, from ``benchmarks/results/scale.json``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table
from tables_seeds import marked, with_note


def rows_of(kind: str) -> list[dict[str, Any]]:
    return [row for row in load("scale").get("rows", []) if row["key"][0] == kind]


def workers() -> str:
    """The wall time of the same configurations by back end and count of worker processes."""
    words = {"local": "`--workers`, processes of this machine", "dask": "`--backend dask`, a cluster on this machine"}
    lines = [
        [
            marked(text, [row]),
            str(row["key"][1]),
            str(row["configurations"]),
            f"{row['wall_s']:.0f}",
            f"{row['load_before']:.1f}",
            "yes" if row["equal"] else "no",
        ]
        for kind, text in words.items()
        for row in rows_of(kind)
    ]
    heads = ["how", "worker processes", "configurations", "wall time, s", "load of the machine before", "results equal to the last digit"]
    return with_note(table(heads, lines))


def resumed() -> str:
    """What resuming many finished configurations takes, and how large their page is."""
    lines = [
        [
            marked(f"{row['configurations']:,}", [row]),
            f"{row['saved_bytes'] / 1e6:.1f}",
            f"{row['resume_cpu_s']:.2f}",
            f"{row['with_report_wall_s']:.1f}",
            f"{row['load_before']:.1f}",
            f"{row['page_bytes'] / 1e6:.2f}",
        ]
        for row in rows_of("resume")
    ]
    heads = ["finished", "saved, MB", "CPU until it goes on, s", "wall time with the report, s", "load of the machine", "page, MB"]
    return with_note(table(heads, lines, 0))


SECTIONS: dict[str, Callable[[], str]] = {"scale_workers": workers, "scale_resumed": resumed}
