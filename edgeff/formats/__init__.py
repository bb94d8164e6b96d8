"""Model files made by edgeff or by others -> Network.

``load`` looks at the content, not at the suffix. Files are untrusted: whatever they hold, the result is a Network that keeps the
conventions or one line of refusal, in bounded time and memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeff.errors import Unsupported
from edgeff.formats.conventions import short
from edgeff.formats.files import MAX_FILE_BYTES, read_file
from edgeff.formats.keras import ARCHIVE, HDF5
from edgeff.formats.tflite import IDENTIFIER
from edgeff.ir import Network
from edgeff.lazy import lazy

if TYPE_CHECKING:
    from edgeff.formats.keras.reader import from_keras
    from edgeff.formats.onnx.reader import from_onnx
    from edgeff.formats.tflite.reader import from_tflite

__all__ = ["MAX_FILE_BYTES", "from_keras", "from_onnx", "from_tflite", "load", "read_file"]

__getattr__, __dir__ = lazy(__name__, {"keras.reader": ("from_keras",), "onnx.reader": ("from_onnx",), "tflite.reader": ("from_tflite",)})

_FOREIGN = (
    (ARCHIVE, "a zip archive that is not a .keras file (.npz or PyTorch)"),
    (b"\x80\x02", "a pickle"),
    (b"{", "JSON text"),
)


def load(path: Path | str) -> Network:
    """The network in the file at ``path`` (.onnx, .tflite, .keras or .h5, found by content).

    Raises BadInput for a missing, oversized or damaged file and for values that are not finite; Unsupported for operators without a
    matching edgeff layer; MissingTool for a Keras file without TensorFlow.
    """
    data = read_file(Path(path))
    if data[4:8] == IDENTIFIER:
        from edgeff.formats.tflite.reader import from_tflite

        return from_tflite(data)
    if data.startswith((HDF5, ARCHIVE)):
        from edgeff.formats.keras.reader import from_keras, is_keras_archive

        if data.startswith(HDF5) or is_keras_archive(data):
            return from_keras(data)
    for magic, kind in _FOREIGN:
        if data.startswith(magic):
            raise Unsupported(
                f"model file {short(path)}",
                got=kind,
                allowed=".onnx, .tflite, .keras and .h5",
                next_step="convert it with the tool that made it",
            )
    from edgeff.formats.onnx.reader import from_onnx

    return from_onnx(data)
