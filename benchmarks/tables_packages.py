"""The tables of docs/boards.md: how each package was built, and images of two models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results import load
from tables_rules import table


def packages() -> str:
    """Each package: the commands of its README, by what it was built, how many builds, what ran then, and what it lacks."""
    lines = []
    for row in _rows("package"):
        commands = "<br>".join(f"`{text}`" for text in row["commands"])
        lines.append([f"`{row['key'][1]}`", commands, row["built_by"], str(row["built"]), row.get("ran", "-"), row["lacks"] or "-"])
    return table(["package", "README", "built by", "builds", "ran", "lacks"], lines, 3)


def images() -> str:
    """Each image: two models and an application."""
    names = ("models", "steps", "flash_bytes", "static_ram_bytes")
    lines = [[f"`{row['key'][1]}`", row["language"], *(f"{row[name]:,}" for name in names)] for row in _rows("image")]
    return table(["emulated board", "application", "models", "steps of each", "flash, bytes", "static RAM, bytes"], lines, 2)


def _rows(kind: str) -> list[dict[str, Any]]:
    return [row for row in load("packages")["rows"] if row["key"][0] == kind]


SECTIONS: dict[str, Callable[[], str]] = {"packages": packages, "images": images}
