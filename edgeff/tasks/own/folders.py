"""A folder of one folder a class, with recordings or with pictures, as samples.

Refused: folders without folders, an empty class, files of no known kind, recordings beside pictures. Hidden files are not read.
"""

from __future__ import annotations

from pathlib import Path

from edgeff.errors import BadInput, short
from edgeff.tasks.own import pictures, sounds
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.samples import Samples

MOST_FILES = 200_000


def class_files(folder: Path) -> list[tuple[Path, str]]:
    """The files of each class below ``folder`` in order, with the class's name: that of its folder."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        allowed = "one folder for each class, with its recordings or pictures"
        raise BadInput(f"data folder {folder}", got="no folder in it", allowed=allowed, next_step="sort the files into such folders")
    files = []
    for home in classes:
        mine = [path for path in sorted(home.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        if not mine:
            step = "add files, or remove the folder"
            raise BadInput(f"class folder {home}", got="no files", allowed=f"{', '.join(KINDS)}", next_step=step)
        for path in mine:
            if path.suffix.lower() not in KINDS:
                step = "move it out of the folder"
                raise BadInput(f"data file {path}", got=f"the suffix {short(path.suffix)}", allowed=", ".join(KINDS), next_step=step)
        files += [(path, home.name) for path in mine]
    if len(files) > MOST_FILES:
        raise BadInput(f"data folder {folder}", got=f"{len(files):,} files", allowed=f"at most {MOST_FILES:,}")
    return files


KINDS = (*sounds.SUFFIXES, *pictures.SUFFIXES)


def read_folder(folder: Path, options: Options) -> Samples:
    """The samples of a folder of class folders."""
    files = class_files(folder)
    heard = [path for path, _ in files if path.suffix.lower() in sounds.SUFFIXES]
    if heard and len(heard) < len(files):
        seen = next(path for path, _ in files if path.suffix.lower() not in sounds.SUFFIXES)
        raise BadInput(f"data folder {folder}", got=f"recordings ({heard[0].name}) beside pictures ({seen.name})", allowed="one of the two")
    return sounds.read_sounds(files, options) if heard else pictures.read_pictures(files, options)
