"""Where the files of data sets come from: the user's folder, the cache, or the official download with its checksum.

``EDGEFF_DATA_DIR`` names the user's folder, ``EDGEFF_CACHE_DIR`` the cache (by default the operating system's) and ``EDGEFF_DATA_URL`` a
server that holds the official files by name and replaces the official ones. A download counts only if it is complete and
its checksum is right: it is written under another name, resumed after a broken connection, and discarded if it cannot be completed.
Files are read as untrusted: no pickle, and the type, shape and size of an array are checked before its numbers are read.
"""

from __future__ import annotations

import os
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.resources import cache_folder

CONNECT_SECONDS, READ_SECONDS = 10, 60
ATTEMPTS = 4
"""Most connections to one address: a new one resumes after one that broke but brought something."""
CHUNK_BYTES = 1 << 16
LARGEST_ARRAY_BYTES = 1 << 33

Wanted = Mapping[str, tuple[str, tuple[int | None, ...]]]


@dataclass(frozen=True)
class Remote:
    """An official file: its address, its checksum as ``algorithm:digest``, its size and the addresses of true copies.

    ``kept_as``: the name it is kept under, where the official one is another data set's too.
    """

    url: str
    checksum: str
    size_bytes: int = 0
    mirrors: tuple[str, ...] = ()
    kept_as: str = ""

    @property
    def name(self) -> str:
        return self.kept_as or self.url.rsplit("/", 1)[1]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses to try, in order."""
        server = os.environ.get("EDGEFF_DATA_URL")
        return (f"{server.rstrip('/')}/{self.name}",) if server else (self.url, *self.mirrors)


def data_folder() -> Path | None:
    """The user's folder of data files, None if EDGEFF_DATA_DIR is unset; BadInput if it is not a folder."""
    named = os.environ.get("EDGEFF_DATA_DIR")
    if not named:
        return None
    if not Path(named).is_dir():
        raise BadInput("EDGEFF_DATA_DIR", got=repr(named), allowed="a folder that exists", next_step="correct or unset it")
    return Path(named)


def local(name: str) -> Path | None:
    """The file or folder ``name`` in the user's folder, None if there is none."""
    folder = data_folder()
    return folder / name if folder is not None and (folder / name).exists() else None


def need_local(name: str, what: str, source: str) -> Path:
    """The file ``name`` of the user's folder; BadInput with one line that says what it is and where it comes from."""
    path = local(name)
    if path is None:
        folder = os.environ.get("EDGEFF_DATA_DIR")
        where = f"no {name} in {folder}" if folder else f"no {name}, and EDGEFF_DATA_DIR names no folder"
        raise BadInput(what, got=where, next_step=f"get it from {source}; put it into the folder that EDGEFF_DATA_DIR names")
    return path


# ------------------------------------------------------------------ downloads


def at_hand(remote: Remote) -> Path | None:
    """The official file if it needs no download, from the user's folder or the cache; None if it is in neither.

    Raises BadInput for a user's file with a wrong checksum; in the cache such a file counts as absent.
    """
    import pooch

    algorithm, _, digest = remote.checksum.partition(":")
    mine, cached = local(remote.name), cache_folder() / remote.name
    if mine is not None and pooch.file_hash(str(mine), algorithm) != digest:
        raise BadInput(f"data file {mine}", got="another checksum", allowed=remote.checksum, next_step="replace or remove it")
    return mine or (cached if cached.is_file() and pooch.file_hash(str(cached), algorithm) == digest else None)


def fetch(remote: Remote, what: str, beside: str) -> Path:
    """The official file: from the user's folder, from the cache, or downloaded into it with a progress bar.

    Args:
        remote: the file.
        what: the data set, for messages.
        beside: the file that can replace it in the user's folder, as shown to a user.
    Raises: BadInput, naming both ways to get the data, if it is not available.
    """
    found = at_hand(remote)
    if found is not None:
        return found
    import pooch

    pooch.get_logger().setLevel("ERROR")
    reasons = []
    for address in remote.addresses:
        download = _Download(remote)
        try:
            return Path(pooch.retrieve(address, remote.checksum, fname=remote.name, path=cache_folder(), downloader=download))
        except ConnectionError as error:
            reasons.append(f"{error} from {address}")
        except ValueError:
            reasons.append(f"a checksum other than {remote.checksum} from {address}")
        except OSError as error:
            reasons.append(f"{error.strerror or error} in the cache {cache_folder()}")
            break
    size = f" ({remote.size_bytes / 1e6:,.1f} MB)" if remote.size_bytes else ""
    way = f"connect to the network and repeat to download it{size}; or put {beside} into a folder and name that in EDGEFF_DATA_DIR"
    raise BadInput(f"{what}, {remote.name}", got=" and ".join(reasons), next_step=way)


class _Download:
    """Called by pooch to fill a file from an address; raises ConnectionError, saying why, if it cannot."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        bar = _bar(self.remote.name)
        try:
            reason = self._fill(url, Path(output_file), bar)
        finally:
            if bar:
                bar.close()
        if reason:
            raise ConnectionError(reason)

    def _fill(self, url: str, path: Path, bar: Any) -> str:
        """Reconnects after a broken connection, and returns why the file is not complete; an empty string if it is."""
        reason = ""
        for _ in range(ATTEMPTS):
            before = path.stat().st_size
            reason = self._append(url, path, before, bar)
            if not reason or path.stat().st_size <= before:
                break
        return reason

    def _append(self, url: str, path: Path, before: int, bar: Any) -> str:
        """One connection, which requests the part after the ``before`` bytes already received."""
        import requests
        from urllib3.exceptions import HTTPError

        # Not compressed in transit: a resumed download must be of the bytes of the file itself.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={before}-"} if before else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as answer:
                if not answer.ok:
                    return f"HTTP {answer.status_code}"
                goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {before}-")
                length = answer.headers.get("Content-Length", "")
                size = (before if goes_on else 0) + int(length) if length.isdecimal() else self.remote.size_bytes
                if bar:
                    bar.total = size
                    bar.reset()
                    bar.update(before if goes_on else 0)
                with path.open("ab" if goes_on else "wb") as file:
                    for chunk in answer.raw.stream(CHUNK_BYTES, decode_content=False):
                        file.write(chunk)
                        if bar:
                            bar.update(len(chunk))
                        if self.remote.size_bytes and file.tell() > self.remote.size_bytes:
                            return f"more than the file's {self.remote.size_bytes:,} bytes"
                    return "" if file.tell() >= size else f"a connection that broke after {file.tell():,} of {size:,} bytes"
        except (requests.exceptions.Timeout, TimeoutError):
            return "no answer in time"
        except (requests.exceptions.RequestException, HTTPError) as error:
            received = path.stat().st_size
            return f"a connection that broke after {received:,} bytes" if received else f"no answer ({type(error).__name__})"


def _bar(name: str) -> Any:
    """A progress bar for downloads on a terminal, else nothing."""
    if not sys.stderr.isatty():
        return False
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar:
        """A bar with a total, shown by rich on stderr."""

        def __init__(self) -> None:
            columns = (TextColumn(name), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self.shown = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.shown.add_task(name, total=None)
            self.shown.start()

        @property
        def total(self) -> int:
            return int(self.shown.tasks[0].total or 0)

        @total.setter
        def total(self, value: int) -> None:
            self.shown.update(self.task, total=value or None)

        def update(self, count: int) -> None:
            self.shown.advance(self.task, count)

        def reset(self) -> None:
            self.shown.update(self.task, completed=0)

        def close(self) -> None:
            self.shown.stop()

    return Bar()


# ------------------------------------------------------------------ arrays

_FILE_DAMAGES = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError)
DAMAGES = (*_FILE_DAMAGES, tokenize.TokenError, SyntaxError, TypeError, OverflowError, MemoryError, IndexError)
"""What reading a damaged .npz may raise."""


def read_arrays(path: Path, wanted: Wanted) -> dict[str, Array]:
    """Arrays of an .npz file by name.

    Args: ``wanted``, the dtype and shape of each name, None for any length; a dtype of ``"U"`` takes strings of any length.
    Raises: BadInput, naming the file and the array, for anything else, including pickled objects and damaged files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_array(path, archive, name, *fits) for name, fits in wanted.items()}
    except BadInput:
        raise
    except DAMAGES as error:
        got = str(error) or type(error).__name__
        raise BadInput(f"data file {path}", got=got, allowed="an .npz file without pickled objects") from None


def _read_array(path: Path, archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> Array:
    what = f"data file {path}, array {name!r}"
    if f"{name}.npy" not in archive.namelist():
        raise BadInput(what, got="no such array", allowed=f"{dtype} {_shape_text(shape)}")
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        stated, found_dtype = _header(file)
        fits = len(stated) == len(shape) and all(want in (None, have) for want, have in zip(shape, stated, strict=True))
        if not fits or (found_dtype.kind if dtype == "U" else found_dtype.name) != dtype:
            raise BadInput(what, got=f"{found_dtype} {stated}", allowed=f"{dtype} {_shape_text(shape)}")
        size = prod(stated) * found_dtype.itemsize
        if not 0 <= size <= min(LARGEST_ARRAY_BYTES, entry.file_size):
            raise BadInput(what, got=f"{stated} in {entry.file_size:,} bytes", allowed="as many numbers as its shape states")
    with archive.open(entry) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('n' if length is None else str(length) for length in shape)})"


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that the header of an .npy file states."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def check_labels(path: Path, labels: Array, classes: int) -> None:
    """Raises BadInput if a label is not a class."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise BadInput(f"data file {path}, labels", got=f"{labels.min()} to {labels.max()}", allowed=f"0 to {classes - 1}")
