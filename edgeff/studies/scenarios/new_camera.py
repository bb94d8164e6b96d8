"""Pictures from another camera (CIFAR-10): less contrast, noise, or turned by 30 degrees, by the seed; a network of convolutions.

Of the subset's training pictures all but 300 are known; those, shifted, are learned, and a quarter of the test part, shifted, is the
changed world. Three cases, one of each shift, share what is known and the shipped model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeff.ir import Array
from edgeff.studies.scenarios.scenario import LOW_RATES, Parts, Scenario, loaded, scaled
from edgeff.tasks import Data

LEARNED, TESTED = 300, 500
CONTRAST, NOISE, DEGREES = 0.3, 25.0, 30.0
"""The share of contrast left; the deviation of the noise, where white is 255; the turn."""


def _less_contrast(x: Array, _rng: np.random.Generator) -> Array:
    return x.mean(axis=(1, 2, 3), keepdims=True) * (1.0 - CONTRAST) + CONTRAST * x


def _noisy(x: Array, rng: np.random.Generator) -> Array:
    return np.clip(x + NOISE * rng.standard_normal(x.shape), 0.0, 255.0)


def _turned(x: Array, _rng: np.random.Generator) -> Array:
    from scipy.ndimage import rotate

    turned: Array = rotate(x, DEGREES, axes=(1, 2), reshape=False, order=1, mode="reflect")
    return turned


SHIFTS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "contrast": _less_contrast,
    "noise": _noisy,
    "rotation": _turned,
}


def parts(seed: int) -> Parts:
    """The shift ``seed % 3``; ``seed // 3`` draws which pictures the device learns."""
    data, draw = loaded("cifar10"), seed // len(SHIFTS)
    name, rng = list(SHIFTS)[seed % len(SHIFTS)], np.random.default_rng([draw, 4])
    order = rng.permutation(len(data.x_train))
    own, rest = order[:LEARNED], order[LEARNED:]
    tested = rng.permutation(len(data.x_test))[:TESTED]
    learned, new = (SHIFTS[name](x, rng).astype(np.float32) for x in (data.x_train[own], data.x_test[tested]))
    known = Data(data.x_train[rest], data.y_train[rest], data.x_test[tested], data.y_test[tested], data.classes)
    return scaled(Parts(name, known, learned, data.y_train[own], new, data.y_test[tested], draw))


NEW_CAMERA = Scenario("new_camera", "pictures with less contrast, with noise, or turned", "cnn_small", 10, 3, len(SHIFTS), parts, LOW_RATES)
