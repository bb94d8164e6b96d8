"""Where the data files of edgeff lie: the boards and the firmware templates.

In a source checkout they are folders of the repository's root; an installed wheel carries them inside the package, as ``edgeff/_data``.
"""

from __future__ import annotations

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


def _folder(name: str) -> Path:
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise MissingTool(f"the folder {name} of edgeff is missing", next_step="install edgeff again: `pip install --force-reinstall edgeff`")
