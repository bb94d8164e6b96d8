"""The demo's table for the README: ``edgeff demo``, without the parts that only its page needs.

``python benchmarks/demo.py`` -> ``benchmarks/results/demo.json``, a ``report.json``.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from results import FOLDER

from edgeff.bench.demo import demo
from edgeff.ir import LineCost
from edgeff.report import to_json

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        traces = demo(Path(folder))
    lean = [
        replace(t, lines={name: LineCost(line.cost) for name, line in t.lines.items()}, functions={}, curve=(), memory_map=(), artifacts={})
        for t in traces
    ]
    (FOLDER / "demo.json").write_text(json.dumps(to_json(lean), indent=1) + "\n", encoding="utf-8")
