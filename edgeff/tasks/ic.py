"""MLPerf Tiny's image classification: CIFAR-10 to train on, its 200 evaluation images to test."""

from __future__ import annotations

import numpy as np

from edgeff.errors import EdgeffError
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._files import check_labels, need_local, read_arrays
from edgeff.tasks.cifar10 import CLASSES, augmented, load_images

FILE = "mlperf_ic01.npz"


@register
class ImageClassification(Task):
    """Images (32, 32, 3) of raw pixels 0 to 255. Where CIFAR-10 is not there the training part is empty, and the metadata says so."""

    name = "ic"
    summary = "MLPerf Tiny's image classification: 200 images to test, CIFAR-10 to train on"
    input_shape = (32, 32, 3)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        source = "MLPerf Tiny's ic01 samples (github.com/eembc/energyrunner, datasets/ic01) as arrays x (n, 32, 32, 3) and y (n,) of uint8"
        path = need_local(FILE, "MLPerf Tiny's evaluation images", source)
        arrays = read_arrays(path, {"x": ("uint8", (None, 32, 32, 3)), "y": ("uint8", (None,))})
        check_labels(path, arrays["y"], len(CLASSES))
        metadata = {"inputs": "pixels 0 to 255", "range": [0.0, 255.0]}
        try:
            (x_train, y_train, _, _), metadata["images"] = load_images()
        except EdgeffError as error:
            x_train, y_train = np.empty((0, 32, 32, 3), np.uint8), np.empty(0, np.uint8)
            metadata["training"] = f"none: {error}"
        return Data(
            x_train.astype(np.float32),
            y_train.astype(np.int64),
            arrays["x"].astype(np.float32),
            arrays["y"].astype(np.int64),
            self.classes,
            metadata,
        )

    def augment(self, x: Array, rng: np.random.Generator) -> Array:
        return augmented(x, rng)
