"""Model files as bytes: reading within a limit, and writing, with one-line refusals."""

from __future__ import annotations

from pathlib import Path

from edgeff.errors import BadInput
from edgeff.formats.conventions import short

MAX_FILE_BYTES = 128 << 20
"""A model of 128 MB is 60 times the flash of the largest board edgeff knows."""


def read_file(path: Path) -> bytes:
    """The bytes of ``path``, at most MAX_FILE_BYTES; raises BadInput if it is missing, not a file, empty or larger."""
    what = f"model file {short(path)}"
    try:
        if not path.is_file():
            raise BadInput(what, got="a folder or device" if path.exists() else "no such file", allowed="an .onnx or .tflite file")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadInput(what, got=str(error), allowed="a file that can be read") from error
    if not 0 < len(data) <= MAX_FILE_BYTES:
        raise BadInput(what, got=f"{path.stat().st_size} bytes", allowed=f"1 to {MAX_FILE_BYTES} bytes")
    return data


def write_file(path: Path, data: bytes) -> Path:
    """Writes ``data`` and returns ``path``; raises BadInput if it cannot be written."""
    try:
        path.write_bytes(data)
    except (OSError, ValueError) as error:
        raise BadInput(f"file {short(path)}", got=str(error), allowed="a path that can be written") from error
    return path
