"""The frame of the project: the lock file, the Makefile's help, the index of the decision records."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def test_the_lock_names_pypi_and_no_other_host() -> None:
    sources = set(re.findall(r"\w+://[^/\"]*", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert sources == {"https://pypi.org", "https://files.pythonhosted.org"}


def test_the_lock_was_made_from_this_pyproject() -> None:
    project = toml("pyproject.toml")["project"]
    declared = {(Requirement(line).name, str(Requirement(line).specifier), "") for line in project["dependencies"]}
    for extra, lines in project["optional-dependencies"].items():
        declared |= {(Requirement(line).name, str(Requirement(line).specifier), extra) for line in lines}
    locked = next(package for package in toml("uv.lock")["package"] if package["name"] == project["name"])
    found = set()
    for entry in locked["metadata"]["requires-dist"]:
        extra = re.search(r"extra == '(\w+)'", entry.get("marker", ""))
        found.add((entry["name"], entry.get("specifier", ""), extra[1] if extra else ""))
    assert found == declared


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert phony is not None
    shown = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert sorted(line.split()[1] for line in shown.splitlines()) == sorted(phony[1].split())


def test_the_index_lists_every_decision_record() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"^\| \[\d{4}\]\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
