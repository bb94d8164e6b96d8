"""Keras -> Network: .keras and .h5 files, through TensorFlow's own converter.

In goes a path or the bytes of a file; out comes a float32 Network with Keras's layer names. TensorFlow (the extra ``tensorflow``) loads the
model in a process of its own, with bounded memory and time, and converts it to TFLite, which ``from_tflite`` reads.

Refused: layers outside LAYERS, Lambda layers, custom objects and functions among them; archives with other members than Keras writes, or
whose members unfold past the limit; HDF5 data in other files. The files are untrusted: nothing of Keras sees one before its configuration
has been read as JSON and found to name nothing but the classes listed here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from edgeff import errors
from edgeff.errors import BadInput, EdgeffError, MissingTool, Unsupported
from edgeff.formats.conventions import short
from edgeff.formats.files import MAX_FILE_BYTES, read_file
from edgeff.formats.keras import HDF5
from edgeff.formats.keras.config import check_configuration, parsed
from edgeff.formats.tflite.reader import from_tflite
from edgeff.ir import Layer, Network

SECONDS = 300
"""Time limit for loading and converting one model; starting TensorFlow takes about ten seconds."""
_MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
_DIRECTORY_ENTRY, _MOST_ENTRIES = b"PK\x01\x02", 1000
"""The bytes that begin each member's entry in an archive's directory, and the most entries that are read."""
_MARK = re.compile(r"\bedgeff(\d{1,9})(?:_\d+)*(?![\w])")

_OUTPUT = re.compile(r"StatefulPartitionedCall\w*(:\d+)?")


def from_keras(source: Path | str | bytes) -> Network:
    """The network in a Keras file, given as a path or as its bytes.

    Raises MissingTool without TensorFlow; BadInput and Unsupported as the module's docstring says, and as ``from_tflite`` does for what the
    converter's output.
    """
    data = source if isinstance(source, bytes) else read_file(Path(source))
    if data.startswith(HDF5):
        name, content = "model.h5", _whole_hdf5(data)
    else:
        name, content = "model.keras", _clean_archive(data)
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingTool(
            "TensorFlow is not installed",
            got="a Keras file",
            next_step="pip install 'edgeff[tensorflow]', or convert the model to .tflite or .onnx",
        )
    with tempfile.TemporaryDirectory(prefix="edgeff-keras-") as folder:
        (Path(folder) / name).write_bytes(content)
        answer = _convert(Path(folder), name)
        converted = read_file(Path(folder) / "model.tflite")
    return network_of(answer, converted)


def network_of(answer: Mapping[str, Any], converted: bytes) -> Network:
    """The network in a Keras model ``converted`` to TFLite, with Keras's names, of which ``conversion`` tells in its answer."""
    keras: list[tuple[str, bool]] = [(name, kernel) for name, kernel in answer["layers"]]
    try:
        network = from_tflite(converted)
    except (BadInput, Unsupported) as error:
        what, got, allowed = (_spoken(text, keras) for text in (error.what, error.got, error.allowed))
        raise type(error)(what, got=got, allowed=allowed, next_step=error.next_step) from error
    metadata = {"source": {"format": "keras", "producer": answer["producer"]}}
    return replace(_named(network, keras), name=answer["name"], metadata=metadata)


def _whole_hdf5(data: bytes) -> bytes:
    """``data``, whose superblock must describe a file of this length (HDF5 file format specification 3.0, II.A)."""
    head = data[:48].ljust(48, b"\0")
    version = head[8]
    sizes, end = (head[13], head[40:48]) if version < 2 else (head[9], head[28:36])
    if version > 3 or sizes != 8 or not 0 < int.from_bytes(end, "little") <= len(data):
        raise BadInput("Keras .h5 file", got="a damaged or truncated HDF5 file", allowed="a model saved by Keras")
    return data


def is_keras_archive(data: bytes) -> bool:
    """Whether a zip archive looks like a .keras file and not like an .npz or a PyTorch model."""
    if data.count(_DIRECTORY_ENTRY) > _MOST_ENTRIES:
        return b"config.json" in data
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return "config.json" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def _clean_archive(data: bytes) -> bytes:
    """A .keras archive with the same configuration and weights and nothing else."""
    what = "Keras archive"
    if (entries := data.count(_DIRECTORY_ENTRY)) > _MOST_ENTRIES:  # a directory of 300,000 takes seconds to read
        raise Unsupported(what, got=f"{entries:,} members", allowed=", ".join(_MEMBERS))
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if sorted(names) != sorted(_MEMBERS):
                raise Unsupported(what, got=f"members {short(', '.join(names[:8]))}", allowed=", ".join(_MEMBERS))
            if sum(member.file_size for member in members) > MAX_FILE_BYTES:
                unfolded = sum(member.file_size for member in members)
                raise BadInput(what, got=f"{unfolded} bytes once unpacked", allowed=f"at most {MAX_FILE_BYTES}")
            contents = {member.filename: archive.open(member).read(member.file_size) for member in members}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadInput(what, got=str(error) or type(error).__name__, allowed="a model saved by Keras") from error
    configuration = parsed(contents["config.json"], what)
    configuration.pop("compile_config", None)  # the optimiser, which is not needed
    check_configuration(configuration)
    contents["config.json"] = json.dumps(configuration).encode()
    clean = BytesIO()
    with zipfile.ZipFile(clean, "w") as archive:
        for name in _MEMBERS:
            archive.writestr(name, contents[name])
    return clean.getvalue()


def _convert(folder: Path, name: str) -> Mapping[str, Any]:
    """The answer of ``conversion`` about the model in ``folder``, where it has put model.tflite."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TMPDIR": str(folder),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-c", "from edgeff.formats.keras.conversion import main; main()", name]
    nowhere = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadInput("Keras file", got=f"a conversion that did not finish within {SECONDS} s", allowed="a smaller model") from None
    answer = folder / "answer.json"
    if not answer.is_file():
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise BadInput("Keras file", got=f"a conversion that ended with {how}", allowed="a model that TensorFlow loads and converts")
    content: Mapping[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if refusal := content.get("refusal"):
        kind: type[EdgeffError] = getattr(errors, refusal["kind"])
        raise kind(refusal["what"], got=refusal["got"], allowed=refusal["allowed"], next_step=refusal["next_step"])
    return content


def _spoken(text: str, keras: list[tuple[str, bool]]) -> str:
    """``text`` with Keras's names for its layers; the converter names the last one after the function that it made of the model."""
    spoken = _MARK.sub(lambda match: keras[int(match[1])][0] if int(match[1]) < len(keras) else match[0], text)
    return _OUTPUT.sub(lambda _: keras[-1][0], spoken)


def _named(network: Network, keras: list[tuple[str, bool]]) -> Network:
    """``network`` with the names of the Keras layers. While it was converted, layer number i was called edgeff{i}: the converter names
    its outputs after all the layers it fuses into one.
    """
    names: dict[str, str] = {"input": "input"}
    last = "input"
    for layer in network:
        name = _keras_name(layer, keras) or f"{last}_{layer.kind}"
        unique, count = name, 0
        while unique in names.values():
            count += 1
            unique = f"{name}_{layer.kind}" if count == 1 else f"{name}_{layer.kind}_{count}"
        names[layer.name] = last = unique
    layers = tuple(replace(layer, name=names[layer.name], inputs=tuple(names[source] for source in layer.inputs)) for layer in network)
    return replace(network, layers=layers)


def _keras_name(layer: Layer, keras: list[tuple[str, bool]]) -> str:
    """The Keras layer behind ``layer``: of those fused into it the one with a kernel, if any; "" if none is named."""
    numbers = [int(number) for number in _MARK.findall(layer.name) if int(number) < len(keras)]
    own = [number for number in numbers if keras[number][1]] if layer.trainable else []
    return keras[(own or numbers)[0]][0] if numbers else ""
