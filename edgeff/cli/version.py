"""The version of edgeff that runs."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import edgeff

_PROJECT = Path(edgeff.__file__).resolve().parents[1] / "pyproject.toml"


def version() -> str:
    """The version in pyproject.toml if edgeff runs from its source folder, else that of the installed package."""
    if _PROJECT.is_file() and (found := re.search(r'^version = "([^"]+)"', _PROJECT.read_text(encoding="utf-8"), re.MULTILINE)):
        return found[1]
    return metadata.version("edgeff")
