"""Mutated .tflite and .onnx files, seeded, flatbuffer- and protobuf-aware: each is read or refused in one line, in 5 s and 1 GiB.

What is read goes through lowering, cost and memory plan too. The mutations and the check of one file are ``tests/fuzz_*.py``; two processes
run at a time, with a limit of 1 GiB of addresses beyond what they take without a file. Ends with status 1 where a file was neither.
``python benchmarks/fuzz.py`` -> ``benchmarks/results/fuzz.json``.
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from results import collect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz_run import outcomes

FORMS, FILES, PART = ("tflite", "onnx"), 10_000, 2_500
PROCESSES = 2
"""Each makes the files that it mutates first: so long as 200 cases take."""


def measure(form: str, first: int, end: int) -> dict[str, Any]:
    """What became of the files ``first`` to ``end`` - 1 of a form."""
    step = -(-(end - first) // PROCESSES)
    parts = [(form, start, min(start + step, end)) for start in range(first, end, step)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = [case for part in pool.map(lambda part: list(outcomes(*part)), parts) for case in part]
    return {
        "files": len(found),
        "outcomes": dict(sorted(Counter(case["outcome"] for _, case in found).items())),
        "longest_s": max(case["seconds"] for _, case in found),
        "most_mebibytes": max(case["mebibytes"] for _, case in found),
        "failures": [[number, case["failure"]] for number, case in found if case["failure"]],
    }


if __name__ == "__main__":
    rows = collect("fuzz", [(form, first, first + PART) for form in FORMS for first in range(0, FILES, PART)], measure, seeds=1)
    failures = sum(len(row["failures"]) for row in rows)
    print(f"{sum(row['files'] for row in rows):,} files, {failures} failures")
    sys.exit(int(failures > 0))
