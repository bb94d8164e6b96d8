"""CIFAR-10: colour images of 32x32 pixels in ten classes (Krizhevsky 2009), the official 50,000 / 10,000 or a subset of 10,000 / 2,000.

Read from ``cifar10_10k_2k.npz`` in the user's folder, else from the official archive of binary batches, never from the pickled one.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._augment import flipped, moved
from edgeff.tasks._files import Remote, at_hand, check_labels, fetch, local, read_arrays

SUBSET = "cifar10_10k_2k.npz"
OFFICIAL = Remote("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530", 170_052_171)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD_BYTES, RECORDS = 3073, 10_000
"""A record of a batch: the label, then 32x32 red, green and blue values."""
TEST_BATCH = "test_batch.bin"
BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), TEST_BATCH)


class Images(NamedTuple):
    """Images (n, 32, 32, 3) and labels (n,) of both parts, uint8, and which part of the data set they are."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    which: str


def read_subset(path: Path) -> Images:
    """The file of 10,000 and 2,000 images; BadInput for another."""
    images: tuple[int | None, ...] = (None, 32, 32, 3)
    labels: tuple[int | None, ...] = (None,)
    parts = ("train", "test")
    arrays = read_arrays(path, {f"x_{part}": ("uint8", images) for part in parts} | {f"y_{part}": ("uint8", labels) for part in parts})
    for part in parts:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x) != len(y) or not len(x):
            raise BadInput(f"data file {path}, {part} part", got=f"{len(x)} images and {len(y)} labels", allowed="one label per image")
        check_labels(path, y, len(CLASSES))
    which = f"a subset of {len(arrays['x_train']):,} and {len(arrays['x_test']):,} images"
    return Images(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], which)


def read_official(path: Path) -> Images:
    """The official archive; BadInput for a damaged one."""
    batches: dict[str, Array] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or name not in BATCHES:
                    continue
                if member.size != RECORD_BYTES * RECORDS or name in batches:
                    allowed = f"one of {RECORD_BYTES * RECORDS:,} bytes"
                    raise BadInput(f"data file {path}, {member.name}", got=f"{member.size:,} bytes", allowed=allowed)
                file = archive.extractfile(member)
                batches[name] = np.frombuffer(file.read() if file else b"", np.uint8).reshape(RECORDS, RECORD_BYTES)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise BadInput(f"data file {path}", got=str(error) or type(error).__name__, allowed="CIFAR-10's binary archive") from None
    if missing := [name for name in BATCHES if name not in batches]:
        raise BadInput(f"data file {path}", got=f"no {missing[0]}", allowed="CIFAR-10's binary archive")
    train, test = np.concatenate([batches[name] for name in BATCHES if name != TEST_BATCH]), batches[TEST_BATCH]
    x_train, x_test = (np.ascontiguousarray(part[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)) for part in (train, test))
    check_labels(path, np.concatenate([train[:, 0], test[:, 0]]), len(CLASSES))
    return Images(x_train, train[:, 0], x_test, test[:, 0], "all 50,000 and 10,000 images")


def images_at_hand() -> Images | None:
    """The images available without a download: the user's subset or official archive, else the archive in the cache."""
    if (path := local(SUBSET)) is not None:
        return read_subset(path)
    if (path := at_hand(OFFICIAL)) is not None:
        return read_official(path)
    return None


def download(what: str = "the data set CIFAR-10", beside: str = SUBSET) -> Path:
    """The official archive, downloaded into the cache unless it is there; for ``what`` and ``beside`` see ``_files.fetch``."""
    return fetch(OFFICIAL, what, beside)


def how_to_get() -> str:
    """Both ways to the training images, in one line."""
    return (
        f"put {SUBSET} or {OFFICIAL.name} into the folder that EDGEFF_DATA_DIR names, or download the archive into the cache (170 MB): "
        "python -c 'from edgeff.tasks.cifar10 import download; download()'"
    )


def augmented(x: Array, rng: np.random.Generator) -> Array:
    """The recipe of MLPerf Tiny: turned by up to 15 degrees, moved by up to a tenth, mirrored left to right half of the time."""
    return flipped(moved(x, rng, degrees=15.0, shift=0.1), rng)


@register
class Cifar10(Task):
    """Images (32, 32, 3) of raw pixels 0 to 255, as MLPerf Tiny's networks read them, with the official test part."""

    name = "cifar10"
    summary = "32x32 colour images, 10 classes"
    input_shape = (32, 32, 3)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        images = images_at_hand() or read_official(download())
        metadata = {"inputs": "pixels 0 to 255", "range": [0.0, 255.0], "images": images.which}
        x_train, x_test = images.x_train.astype(np.float32), images.x_test.astype(np.float32)
        return Data(x_train, images.y_train.astype(np.int64), x_test, images.y_test.astype(np.int64), self.classes, metadata)

    def augment(self, x: Array, rng: np.random.Generator) -> Array:
        return augmented(x, rng)
