"""Where the files of data sets come from: a folder of the user's, the cache, or the official download with its checksum.

``EDGEFF_DATA_DIR`` names the user's folder, ``EDGEFF_CACHE_DIR`` the cache (by default the operating system's), ``EDGEFF_DATA_URL`` a mirror
that holds the official files by name. A download counts only when it is complete and its checksum right; a partial one is thrown away.
Files are read as untrusted: no pickle, and every array's dtype and shape is checked before it is used.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeff.errors import BadInput, MissingTool
from edgeff.ir import Array

CONNECT_SECONDS, READ_SECONDS = 10, 60


@dataclass(frozen=True)
class Remote:
    """An official file: its address and its checksum as ``algorithm:digest``."""

    url: str
    checksum: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def data_folder() -> Path | None:
    """The user's folder of data files, None where EDGEFF_DATA_DIR is unset; BadInput where it is no folder."""
    named = os.environ.get("EDGEFF_DATA_DIR")
    if not named:
        return None
    if not Path(named).is_dir():
        raise BadInput("EDGEFF_DATA_DIR", got=repr(named), allowed="a folder that exists", next_step="correct or unset it")
    return Path(named)


def cache_folder() -> Path:
    """Where downloads are kept."""
    named = os.environ.get("EDGEFF_CACHE_DIR")
    if named:
        return Path(named)
    import pooch

    return Path(pooch.os_cache("edgeff"))


def local(name: str) -> Path | None:
    """The file or folder ``name`` in the user's folder, None where there is none."""
    folder = data_folder()
    return folder / name if folder is not None and (folder / name).exists() else None


def need_local(name: str, what: str, source: str) -> Path:
    """The file ``name`` of the user's folder; MissingTool with one line that says what it is and where it comes from."""
    found = local(name)
    if found is None:
        raise _missing(name, what, f"{source}; put it into the folder that EDGEFF_DATA_DIR names")
    return found


def fetch(remote: Remote, what: str, beside: str) -> Path:
    """The official file, from the cache or downloaded; ``beside`` names the file of the user's folder that would do in its stead.

    Raises MissingTool, naming both ways, when it cannot be had.
    """
    import pooch
    import requests

    mirror = os.environ.get("EDGEFF_DATA_URL")
    address = f"{mirror.rstrip('/')}/{remote.name}" if mirror else remote.url
    downloader = pooch.HTTPDownloader(progressbar=_bar(remote.name), timeout=(CONNECT_SECONDS, READ_SECONDS))
    pooch.get_logger().setLevel("ERROR")
    try:
        return Path(pooch.retrieve(address, remote.checksum, fname=remote.name, path=cache_folder(), downloader=downloader))
    except requests.exceptions.RequestException as error:
        found = f"no answer from {address} ({type(error).__name__})"
        if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
            found = f"HTTP {error.response.status_code} from {address}"
    except ValueError:
        found = f"another checksum than {remote.checksum} for what {address} sent"
    except OSError as error:
        found = f"{error.strerror or error} in {cache_folder()}"
    way = f"connect to the network and repeat, or put {beside} into a folder and name it in EDGEFF_DATA_DIR"
    raise MissingTool(f"{what}, {remote.name}: got {found}", next_step=way) from None


def _missing(name: str, what: str, way: str) -> MissingTool:
    folder = os.environ.get("EDGEFF_DATA_DIR")
    where = f"is not in {folder}" if folder else "is not there, and EDGEFF_DATA_DIR names no folder"
    return MissingTool(f"{what}: {name} {where}", next_step=f"get it from {way}")


def _bar(name: str) -> Any:
    """A progress bar for pooch where somebody is looking, else nothing."""
    import sys

    if not sys.stderr.isatty():
        return False
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar:
        """What pooch asks of a progress bar, shown by rich."""

        def __init__(self) -> None:
            self.shown = Progress(TextColumn(name), BarColumn(), DownloadColumn(), TimeRemainingColumn(), transient=True)
            self.task = self.shown.add_task(name, total=None)
            self.shown.start()

        @property
        def total(self) -> int:
            return int(self.shown.tasks[0].total or 0)

        @total.setter
        def total(self, value: int) -> None:
            self.shown.update(self.task, total=value)

        def update(self, count: int) -> None:
            self.shown.advance(self.task, count)

        def reset(self) -> None:
            self.shown.update(self.task, completed=0)

        def close(self) -> None:
            self.shown.stop()

    return Bar()


Check = Callable[[Array], str]


def read_arrays(path: Path, wanted: Mapping[str, tuple[str, tuple[int | None, ...]]]) -> dict[str, Array]:
    """Arrays of an .npz file by name.

    Args: ``wanted``, of each name its dtype and shape, None for any length; a dtype of ``"U"`` takes strings of any length.
    Raises: BadInput, naming the file and the array, for anything else, pickled objects among it.
    """
    found: dict[str, Array] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name, (dtype, shape) in wanted.items():
                if name not in archive.files:
                    raise BadInput(f"data file {path}", got=f"no array {name!r}", allowed=", ".join(wanted))
                array = archive[name]
                fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
                if not fits or (array.dtype.kind if dtype == "U" else array.dtype.name) != dtype:
                    any_length = tuple("n" if length is None else length for length in shape)
                    raise BadInput(f"data file {path}, array {name!r}", got=f"{array.dtype} {array.shape}", allowed=f"{dtype} {any_length}")
                found[name] = array
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"data file {path}", got=str(error) or type(error).__name__, allowed="an .npz file without pickled objects"
        ) from None
    return found


def check_labels(path: Path, labels: Array, classes: int) -> None:
    """Raises BadInput when a label is no class."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise BadInput(f"data file {path}, labels", got=f"{labels.min()} to {labels.max()}", allowed=f"0 to {classes - 1}")
