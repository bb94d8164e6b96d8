"""The tables of docs and the README's picture are those that the committed results give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_tables_are_made_from_the_results() -> None:
    done = subprocess.run([sys.executable, "tables.py", "--check"], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
