"""Files and folders that appear whole or not at all, whatever ends the process or cuts the power in between.

They are written under a temporary name beside the final one (``mkstemp``, ``mkdtemp``), brought to the disk (``fsync``) and then renamed. A
folder that is there already is exchanged for the new one, which first gets the files of the old one that are the user's. A working
directory and a mount point cannot be exchanged: there the files are, one by one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".edgeff-"
"""What temporary names begin with."""

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file for what shall be at ``path``: it is renamed when the block ends, and removed when the block fails.

    Raises OSError when it cannot be written; ``path`` is then as it was.
    """
    final = path.resolve()
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=final.suffix, dir=final.parent)
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(final)
        _sync(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` in UTF-8. Raises OSError as ``new_file`` does."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def new_folder(path: Path, stale: Callable[[Path], bool] = lambda _path: False) -> Iterator[Path]:
    """A temporary folder for what shall be at ``path``: it takes that place when the block ends, and is removed when the block fails.

    The files of an older folder there that the new one does not have stay, unless they are ``stale``. Missing parents are made, and
    removed again when the block fails. Raises OSError when it cannot be written; ``path`` is then as it was.
    """
    final = path.resolve()
    missing = [folder for folder in final.parents if not folder.exists()]
    temporary = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=final.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if final.exists():
            _keep(final, temporary, stale)
        _sync_tree(temporary)
        _place(temporary, final, stale)
        _sync(final.parent)
        missing = []
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # somebody else has put something into it
                folder.rmdir()


def _keep(old: Path, new: Path, stale: Callable[[Path], bool]) -> None:
    """Gives ``new`` the files of ``old`` that it does not have and that are not stale: the same files where the disk can link them."""
    for source in _files(old):
        target = new / source.relative_to(old)
        if os.path.lexists(target) or stale(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, target, follow_symlinks=False)


def _place(new: Path, final: Path, stale: Callable[[Path], bool]) -> None:
    """Puts the folder ``new`` where ``final`` is or shall be."""
    if not final.exists():
        new.rename(final)
    elif Path.cwd().is_relative_to(final) or os.path.ismount(final):
        _move(new, final, stale)
    elif not _exchanged(new, final):
        aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=final.parent)) / "old"
        try:
            final.rename(aside)
            new.rename(final)
        finally:
            if aside.exists() and not final.exists():
                aside.rename(final)
            shutil.rmtree(aside.parent, ignore_errors=True)


def _move(source: Path, target: Path, stale: Callable[[Path], bool]) -> None:
    """Moves the files of ``source`` into ``target``, each at once, and removes what is stale there."""
    for path in [path for path in _files(target) if stale(path) and not (source / path.relative_to(target)).exists()]:
        path.unlink()
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)


def _exchanged(a: Path, b: Path) -> bool:
    """Whether two folders have changed places in one step, which Linux can do on most file systems."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE) == 0


def _files(folder: Path) -> list[Path]:
    """Everything in ``folder`` and its folders that is no folder itself; links are not followed."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        inside = [Path(place, name) for name in sorted((*folders, *files))]
        found += [path for path in inside if path.is_symlink() or not path.is_dir()]
    return found


def _sync_tree(folder: Path) -> None:
    for path in _files(folder):
        if path.is_file() and not path.is_symlink():
            _sync(path)
    for place, _, _ in os.walk(folder):
        _sync(Path(place))


def _sync(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk; folders where the system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
