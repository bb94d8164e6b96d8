"""The notebooks of docs/notebooks: each cell is run in order, in a process of its own for each notebook, and what it prints is kept in it.

``python benchmarks/notebooks.py`` runs all and writes their outputs; no Jupyter is needed. A cell that fails ends it with its traceback.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeff.atomic import write_text

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
RUN = """
import contextlib, io, json, sys
names, printed = {"__name__": "__main__"}, []
for number, cell in enumerate(json.load(sys.stdin)):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(cell, f"cell {number}", "exec"), names)
    printed.append(output.getvalue())
print(json.dumps(printed))
"""


def read(path: Path) -> dict[str, Any]:
    """A notebook's JSON."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Its cells of code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def shown(cell: dict[str, Any]) -> str:
    """What a cell printed when its outputs were kept."""
    return "".join(line for output in cell.get("outputs", []) for line in output["text"])


def run(notebook: dict[str, Any]) -> list[str]:
    """What each cell of code prints. Raises RuntimeError with the traceback of one that fails."""
    cells = json.dumps([source(cell) for cell in code(notebook)])
    done = subprocess.run([sys.executable, "-c", RUN], input=cells, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    printed: list[str] = json.loads(done.stdout)
    return printed


def keep(notebook: dict[str, Any], printed: list[str]) -> None:
    """Puts what the cells print into the notebook."""
    for number, (cell, text) in enumerate(zip(code(notebook), printed, strict=True)):
        cell["execution_count"] = number + 1
        lines = text.splitlines(keepends=True)
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = read(path)
        keep(notebook, run(notebook))
        write_text(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        print(path.name)
