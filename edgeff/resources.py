"""Where the data files of edgeff lie: the boards and the firmware templates; and where it keeps what it can get again.

In a source checkout they are folders of the repository's root; an installed wheel carries them inside the package, as ``edgeff/_data``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgeff.errors import MissingTool

if TYPE_CHECKING:
    import jinja2

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


def packages_folder() -> Path:
    """The folder of the packages that ``edgeff export`` writes, one folder a kind. Raises MissingTool when the installation lacks it."""
    return templates_folder() / "packages"


def package_names() -> tuple[str, ...]:
    """The kinds of package.

    >>> package_names()
    ('arduino', 'cmake', 'cmsis-pack', 'espidf', 'platformio', 'zephyr')
    """
    return tuple(sorted(path.parent.name for path in packages_folder().glob("*/package.toml")))


def templates(folder: Path) -> jinja2.Environment:
    """The Jinja templates below ``folder``, of files that are no HTML; a name that a template does not get is an error."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


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
