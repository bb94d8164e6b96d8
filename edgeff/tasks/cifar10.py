"""CIFAR-10: colour images of 32x32 pixels in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._augment import flipped, moved
from edgeff.tasks._files import Remote, check_labels, fetch, local, read_arrays

SUBSET = "cifar10_10k_2k.npz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OFFICIAL = Remote("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530")
RECORD_BYTES, RECORDS = 3073, 10_000


def read_subset(path: Path) -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test of the file of 10,000 and 2,000 images: uint8, (n, 32, 32, 3) and (n,)."""
    wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "x_train": ("uint8", (None, 32, 32, 3)),
        "y_train": ("uint8", (None,)),
        "x_test": ("uint8", (None, 32, 32, 3)),
        "y_test": ("uint8", (None,)),
    }
    arrays = read_arrays(path, wanted)
    for part in ("train", "test"):
        if len(arrays[f"x_{part}"]) != len(arrays[f"y_{part}"]):
            raise BadInput(f"data file {path}, {part}", got="another count of labels than of images", allowed="one label an image")
        check_labels(path, arrays[f"y_{part}"], len(CLASSES))
    return arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"]


def read_official(path: Path) -> tuple[Array, Array, Array, Array]:
    """The same of the official archive of binary batches: 50,000 and 10,000 images."""
    batches: dict[str, Array] = {}
    try:
        with tarfile.open(path) as archive:
            for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
                file = archive.extractfile(f"cifar-10-batches-bin/{name}")
                raw = file.read(RECORD_BYTES * RECORDS + 1) if file else b""
                if len(raw) != RECORD_BYTES * RECORDS:
                    raise BadInput(f"data file {path}, {name}", got=f"{len(raw):,} bytes", allowed=f"{RECORD_BYTES * RECORDS:,}")
                batches[name] = np.frombuffer(raw, np.uint8).reshape(RECORDS, RECORD_BYTES)
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"data file {path}", got=str(error) or type(error).__name__, allowed="CIFAR-10's binary archive") from None
    test = batches.pop("test_batch.bin")
    train = np.concatenate(list(batches.values()))
    check_labels(path, np.concatenate([train[:, 0], test[:, 0]]), len(CLASSES))
    x_train, x_test = (part[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for part in (train, test))
    return x_train, train[:, 0], x_test, test[:, 0]


def load_images() -> tuple[tuple[Array, Array, Array, Array], str]:
    """The images and labels (uint8) of the user's subset file, else of the official archive, and which of them it is."""
    found = local(SUBSET)
    if found is not None:
        return read_subset(found), "a balanced subset of 10,000 and 2,000 images"
    return read_official(fetch(OFFICIAL, "the data set CIFAR-10", SUBSET)), "all 50,000 and 10,000 images"


def augmented(x: Array, rng: np.random.Generator) -> Array:
    """The recipe of MLPerf Tiny: rotated by up to 15 degrees, moved by up to a tenth, flipped left to right every second time."""
    return flipped(moved(x, rng, degrees=15.0, shift=0.1), rng)


@register
class Cifar10(Task):
    """Images (32, 32, 3) of raw pixels 0 to 255, as MLPerf Tiny's networks read them."""

    name = "cifar10"
    summary = "32x32 colour images, 10 classes"
    input_shape = (32, 32, 3)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        (x_train, y_train, x_test, y_test), which = load_images()
        metadata = {"inputs": "pixels 0 to 255", "range": [0.0, 255.0], "images": which}
        return Data(
            x_train.astype(np.float32),
            y_train.astype(np.int64),
            x_test.astype(np.float32),
            y_test.astype(np.int64),
            self.classes,
            metadata,
        )

    def augment(self, x: Array, rng: np.random.Generator) -> Array:
        return augmented(x, rng)
