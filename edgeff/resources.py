"""Where the data files of edgeff lie: the boards and the firmware templates; and where it keeps what it can get again.

In a source checkout they are folders of the repository's root; an installed wheel carries them inside the package, as ``edgeff/_data``.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeff.errors import MissingTool

_PACKAGE = Path(__file__).resolve().parent


def boards_folder() -> Path:
    """The folder of the board files, one TOML a board.

    Raises MissingTool when the installation lacks it.
    """
    return _folder("boards")


def templates_folder() -> Path:
    """The folder of the firmware templates, one folder a template.

    Raises MissingTool when the installation lacks it.
    """
    return _folder("firmware_templates")


def cache_folder() -> Path:
    """Where downloads and compiled objects are kept: that of EDGEFF_CACHE_DIR, else the operating system's; it may not exist."""
    named = os.environ.get("EDGEFF_CACHE_DIR")
    if named:
        return Path(named)
    import pooch

    return Path(pooch.os_cache("edgeff"))


def _folder(name: str) -> Path:
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise MissingTool(f"the folder {name} of edgeff is missing", next_step="install edgeff again: `pip install --force-reinstall edgeff`")
