"""Runs in its own process: TensorFlow loads a Keras model and writes it as model.tflite.

The working folder holds the model; beside it are written ``model.tflite`` and ``answer.json``: the model's name and producer and each
layer's name and whether it has a kernel, or the refusal. Memory is bounded, and HDF5 data are checked before Keras reads them: the sizes
they declare, and that none lie in another file.
"""

from __future__ import annotations

import json
import sys
import zipfile
from contextlib import suppress
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from edgeff.errors import BadInput, EdgeffError, MissingTool, Unsupported
from edgeff.formats.conventions import short
from edgeff.formats.files import MAX_FILE_BYTES
from edgeff.formats.keras.config import KERNELS, check_configuration, parsed
from edgeff.formats.keras.legacy import modern

MEMORY_BYTES = 4 << 30
"""Limit for data; TensorFlow takes half a gigabyte before it has read a model."""
_MAX_OBJECTS = 100_000


def main() -> None:
    """Converts the model named by the first argument; errors go to answer.json."""
    try:
        _limit_memory()
        answer = convert(Path(sys.argv[1]))
    except EdgeffError as error:
        answer = _refusal(error)
    except Exception as error:  # noqa: BLE001 - Keras and TensorFlow raise all sorts of them
        text = str(error).strip().split("\n")[0]
        if type(error).__name__ in ("MemoryError", "ResourceExhaustedError"):
            text = f"more than {MEMORY_BYTES} bytes of memory needed"
        answer = _refusal(BadInput("Keras file", got=f"{type(error).__name__}: {text}", allowed="a model that TensorFlow converts"))
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _refusal(error: EdgeffError) -> dict[str, Any]:
    parts = {"what": error.what, "got": error.got, "allowed": error.allowed, "next_step": error.next_step}
    return {"refusal": {"kind": type(error).__name__} | parts}


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # no such limit on this system
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def convert(path: Path) -> dict[str, Any]:
    """The content of answer.json for the Keras model at ``path``; model.tflite is written."""
    try:
        import tensorflow as tf

        h5py: Any = import_module("h5py")
    except ImportError as error:
        raise MissingTool(f"{error.name} cannot be imported", next_step="pip install 'edgeff[tensorflow]'") from error
    names: dict[str, str] = {}
    if path.suffix == ".h5":
        with h5py.File(path, "r") as weights:
            configuration = weights.attrs.get("model_config")
            if configuration is None:
                raise Unsupported("Keras .h5 file", got="weights without a model", allowed="a model saved whole: model.save(..)")
            today, names = modern(parsed(configuration, "Keras .h5 file"))
            check_configuration(today)
            _check_hdf5(h5py, weights)
        with h5py.File(path, "r+") as weights:
            weights.attrs["model_config"] = json.dumps(today)
    else:
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member, h5py.File(member, "r") as weights:
            _check_hdf5(h5py, weights)
    model = tf.keras.models.load_model(path, compile=False, safe_mode=True)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise Unsupported("Keras file", got=f"{len(model.inputs)} inputs and {len(model.outputs)} outputs", allowed="1 and 1")
    layers = _layers(model)
    called = [(names.get(layer.name, str(layer.name)), type(layer).__name__ in KERNELS) for layer in layers]
    answer = {"name": str(model.name), "producer": f"Keras {tf.keras.__version__}", "layers": called}
    for number, layer in enumerate(layers):
        layer.name = f"edgeff{number}"
    Path("model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return answer


def _layers(model: Any) -> list[Any]:
    """The layers of a model, including those of nested models."""
    found = []
    for layer in model.layers:
        found += _layers(layer) if hasattr(layer, "layers") else [layer]
    return found


def _check_hdf5(h5py: Any, root: Any) -> None:
    """Refuses data in another file, and data larger than the file may be."""
    pending, size_bytes = [("", root)], 0
    for _ in range(_MAX_OBJECTS):
        if not pending:
            return
        path, item = pending.pop()
        where = f"HDF5 object {short(path or '/')}"
        if isinstance(item, h5py.Dataset):
            size_bytes += prod(item.shape or ()) * item.dtype.itemsize
            if item.external or item.is_virtual:
                raise Unsupported(where, got="data in another file", allowed="data inside the model")
            if size_bytes > MAX_FILE_BYTES:
                raise BadInput(where, got=f"more than {MAX_FILE_BYTES} bytes of weights", allowed="a smaller model")
        elif isinstance(item, h5py.Group):
            for name in item:
                if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                    raise Unsupported(where, got=f"a link {short(name)}", allowed="data inside the model")
                pending.append((f"{path}/{name}", item[name]))
    raise BadInput("Keras file", got=f"more than {_MAX_OBJECTS} HDF5 objects", allowed="a model saved by Keras")
