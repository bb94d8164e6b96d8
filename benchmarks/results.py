"""Results as small JSON under ``benchmarks/results/``: rows, with the command, commit, seeds and versions that made them.

Rows that are there already are kept, so a long run can be stopped and taken up again; ``--fresh`` begins anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeff.atomic import write_text

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "scikit-learn", "unicorn", "ziglang", "capstone")


def commit() -> str:
    """The commit of the working tree, with ``+`` when files differ from it."""
    folder = Path(__file__).parent
    try:
        name = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "../edgeff"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")


def is_stale(row: dict[str, Any]) -> bool:
    """Whether a row is of a working tree that no commit has."""
    return str(row.get("commit", "unknown")).endswith(("+", "unknown"))


def load(name: str) -> dict[str, Any]:
    """A result file's content; ``{}`` where there is none yet."""
    path = FOLDER / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def collect(
    name: str, keys: Iterable[tuple[Any, ...]], measure: Callable[..., dict[str, Any]], seeds: int | None = None
) -> list[dict[str, Any]]:
    """The rows of ``measure(*key)`` for every key, saved after each.

    A row whose key is in the file is not measured again, and rows of other keys stay in it.
    """
    old = {} if "--fresh" in sys.argv else {json.dumps(row["key"]): row for row in load(name).get("rows", [])}
    rows: list[dict[str, Any]] = []
    for text, key in {json.dumps(list(key)): key for key in keys}.items():
        row = old.pop(text, None)
        if row is None:
            row = {"key": list(key)} | measure(*key) | {"commit": commit()}
            print(name, *key, {k: v for k, v in row.items() if k not in ("key", "commit")}, flush=True)
        rows.append(row)
        save(name, [*rows, *old.values()], seeds)
    return rows


def save(name: str, rows: Sequence[dict[str, Any]], seeds: int | None = None) -> None:
    """Writes a result file: its rows, with the command and the versions that made them."""
    record = {
        "command": f"python benchmarks/{Path(sys.argv[0]).name}",
        "seeds": seeds,
        "versions": {package: version(package) for package in PACKAGES},
        "rows": list(rows),
    }
    FOLDER.mkdir(exist_ok=True)
    write_text(FOLDER / f"{name}.json", json.dumps(record, indent=1) + "\n")
