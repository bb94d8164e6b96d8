"""MLPerf Tiny's image classification: its 200 evaluation images for the test, the training part of CIFAR-10 for training.

The evaluation images are read from ``mlperf_ic01.npz`` in the user's folder, else selected from CIFAR-10's official archive: they are 20 of
each class of its test batch, verified by a checksum. Nothing is downloaded for them alone if the folder has them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._files import check_labels, local, read_arrays
from edgeff.tasks.cifar10 import CLASSES, Images, augmented, download, how_to_get, images_at_hand, read_official

FILE = "mlperf_ic01.npz"
SOURCE = f"{FILE} (MLPerf Tiny's ic01 samples, github.com/eembc/energyrunner, as uint8 arrays x and y)"
SHA256 = "f6442743b8f3b0f535338b18fe0976f5aae86720b6e9e41c05a9aea90b286e5b"
PLACES = """
    7657 8959 3596 327 2783 6567 7295 1945 8799 4605 4558 4593 20 7769 4619 7036 7360 4552 5507 6617 8926 4755 5971 8325 2890 517 6395 8899
    3832 5445 2216 1821 3122 3455 4255 9964 9515 4912 5288 5346 1044 289 8913 9045 4940 5984 2390 2209 9688 7432 4649 1004 9614 2285 3150
    2915 2940 2096 634 8301 4238 7257 9244 2101 1107 3492 5864 4354 7302 1722 6832 127 2398 6639 3639 9010 1274 7358 1003 7850 5433 673
    7820 7797 4764 6137 4758 6705 1437 8328 2642 1597 9661 8331 1273 8242 7617 6925 3830 613 2973 3865 4021 4355 9068 3701 5023 62 5255
    3770 6059 4952 232 3382 7129 4446 8881 4636 4880 647 6628 5339 2448 5055 1387 1757 8171 1835 6136 447 103 4564 5315 2470 6961 660 585
    6431 4374 1932 6658 4812 5273 4701 4441 4819 1933 5195 5826 4976 5562 7672 8188 6591 8813 6077 1887 8116 5591 8975 8892 7041 3661 9993
    7722 64 888 9762 1263 7660 9226 3736 2506 3190 4913 6754 8442 1382 5800 7061 7216 4995 2331 3900 2653 3224 1629 7195 3961 3675 393 3464
    8669 2636 6751 6425 8390 5619 3996 451
"""
"""The indices of the evaluation images in CIFAR-10's test batch (mlcommons/tiny, perf_samples_idxs.npy), in the benchmark's order."""


def evaluation_images(images: Images) -> tuple[Array, Array]:
    """The 200 images (200, 32, 32, 3) and labels (200,) of the full CIFAR-10; raises BadInput if its test part is not the official one."""
    places = np.array(PLACES.split(), np.intp)
    x = images.x_test[places] if len(images.x_test) > places.max() else images.x_test
    if hashlib.sha256(x.tobytes()).hexdigest() != SHA256:
        raise BadInput("CIFAR-10's test images", got="images other than MLPerf Tiny's at their indices", allowed="the official archive")
    return x, images.y_test[places]


@register
class ImageClassification(Task):
    """Images (32, 32, 3) of raw pixels 0 to 255. Without CIFAR-10 the training part is empty, and the metadata says so."""

    name = "ic"
    summary = "MLPerf Tiny's image classification: 200 images to test, CIFAR-10 to train on"
    input_shape = (32, 32, 3)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        training = images_at_hand()
        path = local(FILE)
        if path is not None:
            arrays = read_arrays(path, {"x": ("uint8", (None, 32, 32, 3)), "y": ("uint8", (None,))})
            x, y = arrays["x"], arrays["y"]
            check_labels(path, y, len(CLASSES))
            if len(x) != len(y) or not len(x):
                raise BadInput(f"data file {path}", got=f"{len(x)} images and {len(y)} labels", allowed="one label per image")
        else:
            training = read_official(download("MLPerf Tiny's evaluation images", SOURCE))
            x, y = evaluation_images(training)
        metadata: dict[str, Any] = {"inputs": "pixels 0 to 255", "range": [0.0, 255.0]}
        metadata["test"] = f"{len(x)} evaluation images of MLPerf Tiny"
        metadata["training"] = f"CIFAR-10, {training.which}" if training else f"none: {how_to_get()}"
        x_train = training.x_train.astype(np.float32) if training else np.empty((0, *self.input_shape), np.float32)
        y_train = training.y_train.astype(np.int64) if training else np.empty(0, np.int64)
        return Data(x_train, y_train, x.astype(np.float32), y.astype(np.int64), self.classes, metadata)

    def augment(self, x: Array, rng: np.random.Generator) -> Array:
        return augmented(x, rng)
