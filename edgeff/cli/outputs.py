"""Files and folders that appear whole or not at all: they are written under a temporary name beside the final one and then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeff.errors import BadInput

_GENERATED = "eff_*.c"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path for what shall be at ``path``: it is renamed when the block ends, and removed when the block fails.

    Raises BadInput when it cannot be written.
    """
    final = path.resolve()
    temporary = final.with_name(f".{os.getpid()}.partial{final.suffix}")
    try:
        yield temporary
        temporary.replace(final)
    except OSError as error:
        raise _refused("file", path, error) from None
    except BadInput as error:
        if isinstance(error.__cause__, OSError):  # it would name the temporary file
            raise _refused("file", path, error.__cause__) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, marker: str) -> Iterator[Path]:
    """A temporary folder for what shall be in ``path``: its files are moved there when the block ends, or removed when it fails.

    A folder that exists must be empty or hold ``marker``, the file (or pattern of files) by which an earlier output is known; its other
    files stay as they are.
    Raises BadInput otherwise, or when it cannot be written.
    """
    final = path.resolve()
    check_folder(path, marker)
    parents = [folder for folder in final.parents if not folder.exists()]
    temporary = final.with_name(f".{os.getpid()}.partial")
    made = False
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _move(temporary, final)
        made = True
    except OSError as error:
        raise _refused("folder", path, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in [] if made else parents:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def check_folder(path: Path, marker: str) -> None:
    """Returns nothing; raises BadInput when the folder ``path`` holds files but not ``marker``."""
    if path.is_dir() and not any(path.glob(marker)) and (others := sorted(entry.name for entry in path.iterdir())):
        raise BadInput(
            f"output folder '{path}'",
            got=f"other files ({others[0]!r})",
            allowed="a new name, an empty folder, or an earlier output of the same command",
            next_step="choose another folder",
        )


def _move(source: Path, target: Path) -> None:
    """Moves what ``source`` holds into ``target``, and removes generated kernels there that are no longer used."""
    if not target.exists():
        source.rename(target)
        return
    for folder in [source, *(entry for entry in source.rglob("*") if entry.is_dir())]:
        place = target / folder.relative_to(source)
        place.mkdir(exist_ok=True)
        for stale in place.glob(_GENERATED):
            if not (folder / stale.name).exists():
                stale.unlink()
        for entry in folder.iterdir():
            if not entry.is_dir():
                entry.replace(place / entry.name)


def _refused(kind: str, path: Path, error: OSError) -> BadInput:
    return BadInput(f"output {kind} '{path}'", got=error.strerror or str(error), allowed="a path that can be written")
