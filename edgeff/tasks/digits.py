"""8x8 handwritten digits, shipped with scikit-learn: the embedded default, no download."""

from __future__ import annotations

import numpy as np

from edgeff.tasks import Data, Task, register

TEST_SAMPLES = 360


@register
class Digits(Task):
    """1,797 images of 64 pixels in [0, 1], split 1,437 / 360, stratified by class (UCI optical recognition of handwritten digits)."""

    name = "digits"
    summary = "8x8 handwritten digits, 10 classes, 64 inputs, offline"
    input_shape = (64,)
    classes = tuple("0123456789")

    def load(self, seed: int = 0) -> Data:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        pixels, labels = load_digits(return_X_y=True)
        x = (pixels / 16.0).astype(np.float32)
        x_train, x_test, y_train, y_test = train_test_split(
            x, labels.astype(np.int64), test_size=TEST_SAMPLES, stratify=labels, random_state=seed
        )
        return Data(x_train, y_train, x_test, y_test, self.classes, {"inputs": "pixels / 16", "range": [0.0, 1.0]})
