"""MNIST: 70,000 handwritten digits of 28x28 pixels (LeCun, Cortes & Burges 1998), the official 60,000 / 10,000.

Read from ``mnist.npz`` in the user's folder, else from the four official IDX files.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._files import Remote, check_labels, fetch, local, read_arrays

FILE = "mnist.npz"
# yann.lecun.com no longer offers the files; these two are copies that PyTorch and TensorFlow read.
SERVERS = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")


def official(name: str, checksum: str, size_bytes: int) -> Remote:
    """One of the official files."""
    return Remote(f"{SERVERS[0]}/{name}", checksum, size_bytes, tuple(f"{server}/{name}" for server in SERVERS[1:]))


OFFICIAL = {
    "x_train": official("train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    "y_train": official("train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    "x_test": official("t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    "y_test": official("t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c", 4_542),
}


def read_idx(path: Path) -> Array:
    """The uint8 array of a gzipped IDX file; BadInput for a damaged one."""
    try:
        with gzip.open(path) as file:
            raw = file.read(64_000_000)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"data file {path}", got=str(error) or type(error).__name__, allowed="a gzipped IDX file") from None
    axes = raw[3] if len(raw) > 4 else 0
    shape = tuple(np.frombuffer(raw, ">i4", axes, 4).tolist()) if raw[:3] == b"\0\0\x08" and 1 <= axes <= 3 and len(raw) > 16 else ()
    if not shape or min(shape) < 1 or prod(shape) != len(raw) - 4 - 4 * axes:
        raise BadInput(f"data file {path}", got=f"{len(raw)} bytes, shape {shape}", allowed="an IDX file of uint8")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


@register
class Mnist(Task):
    """60,000 images to train on and 10,000 to test, (28, 28, 1), pixels / 255."""

    name = "mnist"
    summary = "28x28 handwritten digits, 10 classes"
    input_shape = (28, 28, 1)
    classes = tuple("0123456789")

    def load(self, seed: int = 0) -> Data:
        return read_images("MNIST", FILE, OFFICIAL, self.classes)


def read_images(name: str, file: str, remotes: Mapping[str, Remote], classes: tuple[str, ...]) -> Data:
    """The data of the data set called ``name``: images of 28x28 pixels / 255, from ``file`` in the user's folder, else from IDX files.

    Args: ``remotes``, the official files of ``x_train``, ``y_train``, ``x_test`` and ``y_test``.
    Raises: BadInput for files that hold something else or cannot be had.
    """
    found = local(file)
    if found is not None:
        wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
            f"{part_of}_{part}": ("uint8", (None, 28, 28) if part_of == "x" else (None,)) for part_of in "xy" for part in ("train", "test")
        }
        arrays, place = read_arrays(found, wanted), found
    else:
        paths = {key: fetch(remote, f"the data set {name}", file) for key, remote in remotes.items()}
        arrays, place = {key: read_idx(path) for key, path in paths.items()}, paths["x_train"].parent
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.shape[1:] != (28, 28) or y.shape != x.shape[:1]:
            raise BadInput(f"data file {place}", got=f"{x.shape} images, {y.shape} labels", allowed="(n, 28, 28) and (n,)")
        check_labels(place, y, len(classes))
    x_train, x_test = (np.divide(arrays[f"x_{p}"][..., None], 255, dtype=np.float32) for p in ("train", "test"))
    y_train, y_test = (arrays[f"y_{p}"].astype(np.int64) for p in ("train", "test"))
    return Data(x_train, y_train, x_test, y_test, classes, {"inputs": "pixels / 255", "range": [0.0, 1.0]})
