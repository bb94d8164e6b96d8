"""The existing content of a folder for C: an earlier export, models of other prefixes, the user's own files.

A generated file is known by the line of its head that says which command wrote it. Kernels have no such line: in a folder that holds a
model, every ``edgeff.h`` and ``eff_*`` file is edgeff's.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgeff.codegen.names import file_prefix
from edgeff.codegen.scan import called, defined, included
from edgeff.errors import BadInput

MODEL = "*model.h"
"""A file of every exported model, whatever its prefix."""
GENERATED = "not for editing."
_HEAD = 600


def is_generated(path: Path) -> bool:
    """Whether a file exists and its head says that it was generated."""
    return path.is_file() and GENERATED in path.read_text(encoding="utf-8", errors="replace")[:_HEAD]


def check_folder(folder: Path, prefix: str) -> None:
    """Raises BadInput unless ``folder`` is missing, free of C or holds a generated model, and user's files that are kept."""
    if folder.exists() and not folder.is_dir():
        raise BadInput("output folder", got=str(folder), allowed="a folder or a new name")
    own = [folder / f"{file_prefix(prefix)}model{suffix}" for suffix in (".c", ".h")]
    foreign = [path.name for path in own if path.exists() and not is_generated(path)]
    if not any(is_generated(path) for path in folder.glob(MODEL)):
        foreign += sorted(path.name for pattern in ("*.c", "*.h") for path in folder.glob(pattern))
    if foreign:
        raise BadInput(
            f"output folder {str(folder)!r}",
            got=f"other C files ({foreign[0]!r})",
            allowed="an empty folder or an earlier export",
            next_step="choose another folder",
        )


def neighbours(folder: Path, prefix: str) -> tuple[Path, ...]:
    """The ``model.c`` of every model in ``folder`` whose names begin with another prefix.

    Raises BadInput for a prefix that differs from ``prefix`` only in capitals: macros and, on some machines, files would be the same.
    """
    own = f"{file_prefix(prefix)}model.h"
    headers = [path for path in sorted(folder.glob(MODEL)) if is_generated(path) and path.name != own]
    for header in headers:
        if header.name.lower() == own.lower():
            raise BadInput("prefix", got=f"{prefix!r} beside {header.name}", allowed="prefixes that differ in more than capitals")
    return tuple(header.with_suffix(".c") for header in headers)


def carry_over(source: Path, target: Path, prefix: str) -> None:
    """Copies the models of ``source`` whose names begin with another prefix, with all they need, into the empty folder ``target``.

    Raises BadInput as ``neighbours`` does.
    """
    models = neighbours(source, prefix)
    examples = [source / "example" / model.name.replace("model.c", "main.c") for model in models]
    for path in {*models, *examples, *needed_by(models)}:
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, place)


def needed_by(models: tuple[Path, ...]) -> set[Path]:
    """The kernels and headers in their folder that ``models`` need."""
    homes = {name: path for model in models for path in model.parent.glob("eff_*.c") for name in defined(_text(path))}
    needed: set[Path] = set()
    waiting = list(models)
    while waiting:
        path = waiting.pop()
        text = _text(path)
        calls = called(text) if path.suffix == ".c" else set()  # a header's prototypes are no calls
        files = {homes[name] for name in calls if name in homes} | {path.with_name(name) for name in included(text)}
        files |= {body for header in files if (body := header.with_suffix(".c")).is_file()}
        waiting += files - needed
        needed |= files
    return needed


def check_shared(files: Mapping[str, Path], needed: set[Path]) -> None:
    """Raises BadInput if one of the ``files`` to be written differs from a file of that name which a neighbour needs."""
    for path in sorted(needed):
        if path.name in files and not filecmp.cmp(files[path.name], path, shallow=False):
            raise BadInput(
                f"output folder {path.parent}",
                got=f"a model beside this one with the {path.name} of another version of edgeff",
                allowed="models of one version in a folder",
                next_step="export all of them into a new folder",
            )


def is_stale(path: Path) -> bool:
    """Whether a file that a new export does not have is of an earlier one: a kernel, or the example where version 0.1 put it."""
    return path.match("eff_*.[ch]") or (path.name == "main.c" and path.parent.name != "example" and is_generated(path))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
