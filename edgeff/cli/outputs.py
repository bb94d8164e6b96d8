"""The outputs of commands: files and folders that appear whole or not at all, with one-line refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeff import atomic
from edgeff.errors import BadInput

GENERATED = "eff_*.[ch]"


def is_kernel(path: Path) -> bool:
    """Whether a file has the name of a generated kernel: if a new output does not contain it, it is no longer used."""
    return path.match(GENERATED)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path for the file to be at ``path``: see ``edgeff.atomic.new_file``. Raises BadInput if it cannot be written."""
    try:
        with atomic.new_file(path) as temporary:
            yield temporary
    except OSError as error:
        raise _refused("file", path, error) from None
    except BadInput as error:
        if isinstance(error.__cause__, OSError):  # it would name the temporary file
            raise _refused("file", path, error.__cause__) from None
        raise


@contextmanager
def new_folder(path: Path, marker: str, stale: Callable[[Path], bool] = is_kernel) -> Iterator[Path]:
    """A temporary folder for the output to be at ``path``: see ``edgeff.atomic.new_folder``.

    An existing folder must be empty or contain ``marker``, the file (or pattern of files) that identifies an earlier output.
    Raises BadInput otherwise, or if it cannot be written.
    """
    check_folder(path, marker)
    try:
        with atomic.new_folder(path, stale) as temporary:
            yield temporary
    except OSError as error:
        raise _refused("folder", path, error) from None


def check_folder(path: Path, marker: str) -> None:
    """Raises BadInput if the folder ``path`` contains files but not ``marker``."""
    if path.is_dir() and not any(path.glob(marker)) and (others := sorted(entry.name for entry in path.iterdir())):
        raise BadInput(
            f"output folder '{path}'",
            got=f"other files ({others[0]!r})",
            allowed="a new name, an empty folder, or an earlier output of the same command",
            next_step="choose another folder",
        )


def _refused(kind: str, path: Path, error: OSError) -> BadInput:
    return BadInput(f"output {kind} '{path}'", got=error.strerror or str(error), allowed="a path that can be written")
