"""A run's folder: ``report.json`` (the source), ``report.html`` and ``manifest.json`` with the SHA-256 of everything in it.

Each file is written atomically (``edgeff.atomic``), so that a reader finds either the old one or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from edgeff.atomic import TEMPORARY, write_text
from edgeff.errors import BadInput
from edgeff.ir import Trace
from edgeff.report.choices import choices
from edgeff.report.html import page
from edgeff.report.record import FILE_NAME, SCHEMA, Versions, to_json
from edgeff.report.sheets import csv_sheet, latex_sheet
from edgeff.report.versions import installed_versions

PAGE_NAME = "report.html"
MANIFEST_NAME = "manifest.json"


def write_report(folder: Path | str, traces: Sequence[Trace], versions: Versions | None = None) -> Path:
    """Writes the page, ``report.json`` and ``manifest.json`` into ``folder``, created if missing, and returns the page's path.

    Artefacts to be listed in the manifest must already be in the folder. Raises BadInput if the folder cannot be written.
    """
    folder = Path(folder)
    versions = installed_versions() if versions is None else versions
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FILE_NAME, json.dumps(to_json(traces, versions), indent=1, allow_nan=False) + "\n")
        write_text(folder / PAGE_NAME, page(traces, versions))
        write_text(folder / MANIFEST_NAME, json.dumps(manifest(folder), indent=1) + "\n")
    except OSError as error:
        raise BadInput(f"folder {folder}", got=error.strerror or str(error), allowed="a folder that can be written") from None
    return folder / PAGE_NAME


def write_page(path: Path | str, traces: Sequence[Trace], versions: Versions | None = None) -> Path:
    """Writes only the page, or for the suffixes ``.csv`` and ``.tex`` its table of choices, and returns the path.

    Raises BadInput if it cannot be written.
    """
    path = Path(path)
    sheet = {".csv": csv_sheet, ".tex": latex_sheet}.get(path.suffix.lower())
    try:
        write_text(path, sheet(choices(traces)) if sheet else page(traces, versions))
    except OSError as error:
        raise BadInput(f"report {path}", got=error.strerror or str(error), allowed="a file in a folder that can be written") from None
    return path


def manifest(folder: Path) -> dict[str, object]:
    """``{"schema": 1, "files": {path: {"sha256", "size_bytes"}}}`` of all files under ``folder`` but the manifest; links are left out."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name != MANIFEST_NAME and not path.name.startswith(TEMPORARY):
            files[name] = {"sha256": _sha256(path), "size_bytes": path.stat().st_size}
    return {"schema": SCHEMA, "files": files}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
