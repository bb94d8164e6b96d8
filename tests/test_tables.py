"""The tables of docs and the README's picture are those that the committed results give."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_tables_are_made_from_the_results() -> None:
    done = subprocess.run([sys.executable, "tables.py", "--check"], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_paper_has_every_table_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    paper = importlib.import_module("paper")
    table = ["| rule, % | a_b |", "| --- | ---: |", "| **frozen** (control) | 1.0 ± 0.5 † |", "| [`bp`](bp.md) | - |"]
    assert paper.tabular(table).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\hline",
        r"rule, \% & a\_b \\",
        r"\hline",
        r"\textbf{frozen} (control) & 1.0 $\pm$ 0.5 $\dagger$ \\",
        r"bp & - \\",
        r"\hline",
        r"\end{tabular}",
    ]
    made = paper.write(tmp_path)
    for page in (ROOT / "docs" / "results").glob("*.md"):
        for name in re.findall(r"<!-- begin:(\w+) -->\n\|", page.read_text(encoding="utf-8")):
            assert (tmp_path / "tables" / f"{name}.tex").is_file(), name
    assert {file.stem for file in made if file.suffix == ".svg"} >= {"accuracy_ram", "depth"}
    drawn = (tmp_path / "figures" / "depth.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert drawn.endswith("</svg>\n")
    assert ">bp</text>" in drawn


def test_the_citation_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
