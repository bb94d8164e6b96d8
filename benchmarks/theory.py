"""The equations of AFA and of PEPITA beside simulation, over the whole curve: five starts at N = 1000, smaller N, and wider students.

``python benchmarks/theory.py`` -> ``benchmarks/results/theory.json`` (three to four minutes on one core). A row
has the largest distances over its 31 points; that of the command's defaults also what ``edgeff theory --json`` prints, to five digits.
"""

from __future__ import annotations

import time
from typing import Any

from results import collect

from edgeff.cli.theory import entry
from edgeff.studies.theory import compare

SEEDS = 10
DEFAULT = (1000, 2, 2, 0)


def measure(n: int, hidden: int, teacher: int, seed: int) -> dict[str, Any]:
    """The comparison at its default rate and scales; ``seed`` draws the start and all seeds' vectors and samples."""
    begin = time.perf_counter()
    found = compare(n, hidden=hidden, teacher=teacher, seeds=SEEDS, seed=seed)
    largest = {
        f"{line.rule} {line.feedback_scale:g}": {
            "relative_error": _five(line.relative_error.max()),
            "deviation": _five((line.deviation / line.theory.errors).max()),
            "beyond_afa": _five(found.beyond_afa(line).max()),
        }
        for line in found.lines
    }
    row = {"largest": largest, "seconds": round(time.perf_counter() - begin, 1)}
    return row | {"curves": _five(entry(found))} if (n, hidden, teacher, seed) == DEFAULT else row


def _five(value: Any) -> Any:
    """Numbers of five digits, in lists and mappings too."""
    if isinstance(value, dict):
        return {key: _five(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_five(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    keys = [DEFAULT, *((1000, 2, 2, seed) for seed in range(1, 5)), (100, 2, 2, 0), (300, 2, 2, 0), (1000, 4, 2, 0), (1000, 3, 3, 0)]
    for row in collect("theory", keys, measure, SEEDS):
        print(*row["key"], row["largest"])
