"""Visual wake words: is there a person in the picture? The user supplies the pictures, in two folders or one file of arrays.

Read from the folder ``vww`` with ``person`` and ``non_person`` (PNG, JPEG or BMP through Pillow, squeezed to 96x96), else from ``vww.npz``.
Refused: files that are not pictures, pictures of more than 2^26 pixels, more pictures than fit in memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task, register
from edgeff.tasks._augment import flipped, moved
from edgeff.tasks._files import check_labels, local, need_local, read_arrays
from edgeff.tasks._pictures import squeezed

SIDE = 96
FILE = "vww.npz"
FOLDERS = ("non_person", "person")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
TEST_SHARE = 0.1
MOST_PICTURES = 40_000
"""4.4 GB as float32 numbers for training."""


def read_picture(path: Path) -> Array:
    """A picture as (96, 96, 3) uint8; MissingTool without Pillow, BadInput for a file that is not a picture or too large."""
    how_to_get = "pip install pillow, or provide the pictures as vww.npz"
    return squeezed(path, (SIDE, SIDE, 3), allowed=", ".join(SUFFIXES), how_to_get=how_to_get)


def read_folder(folder: Path) -> tuple[Array, Array]:
    """All pictures below ``folder``/non_person and ``folder``/person, (n, 96, 96, 3) uint8, and their labels 0 and 1."""
    pictures = [
        (path, label) for label, name in enumerate(FOLDERS) for path in sorted((folder / name).glob("*")) if path.suffix.lower() in SUFFIXES
    ]
    if len({label for _, label in pictures}) < len(FOLDERS) or len(pictures) > MOST_PICTURES:
        allowed = f"pictures in each of {' and '.join(FOLDERS)}, at most {MOST_PICTURES:,}"
        raise BadInput(f"folder {folder}", got=f"{len(pictures):,} pictures", allowed=allowed)
    return np.array([read_picture(path) for path, _ in pictures]), np.array([label for _, label in pictures], np.uint8)


@register
class VisualWakeWords(Task):
    """Pictures (96, 96, 3) of pixels / 255; a tenth, drawn by the seed and stratified by class, is the test part.

    The reference's set is built from COCO 2014 (github.com/mlcommons/tiny, visual_wake_words); edgeff may not distribute its pictures.
    """

    name = "vww"
    summary = "person or none, your own 96x96 pictures"
    input_shape = (SIDE, SIDE, 3)
    classes = FOLDERS

    def load(self, seed: int = 0) -> Data:
        folder = local("vww")
        if folder is not None and folder.is_dir():
            x, y = read_folder(folder)
        else:
            source = f"your own pictures: a folder vww/ with {' and '.join(FOLDERS)}, or {FILE} with x (n, 96, 96, 3) and y (n,) of uint8"
            path = need_local(FILE, "the visual wake words", source)
            arrays = read_arrays(path, {"x": ("uint8", (None, SIDE, SIDE, 3)), "y": ("uint8", (None,))})
            x, y = arrays["x"], arrays["y"]
            check_labels(path, y, len(FOLDERS))
            if len(x) != len(y):
                raise BadInput(f"data file {path}", got=f"{len(x)} pictures and {len(y)} labels", allowed="one label per picture")
        for label, name in enumerate(FOLDERS):
            if (count := int((y == label).sum())) < 2:
                raise BadInput(f"the pictures of {name}", got=count, allowed="at least 2, one to train on and one to test")
        if len(x) > MOST_PICTURES:
            raise BadInput("the visual wake words", got=f"{len(x):,} pictures", allowed=f"at most {MOST_PICTURES:,}")
        test = np.zeros(len(x), bool)
        rng = np.random.default_rng([seed, 4])
        for label in range(len(FOLDERS)):
            mine = rng.permutation(np.flatnonzero(y == label))
            test[mine[: max(round(TEST_SHARE * len(mine)), 1)]] = True
        train = rng.permutation(np.flatnonzero(~test))
        metadata = {"inputs": "pixels / 255", "range": [0.0, 1.0]}
        labels = y.astype(np.int64)
        x_train, x_test = (np.divide(x[chosen], 255, dtype=np.float32) for chosen in (train, test))
        return Data(x_train, labels[train], x_test, labels[test], self.classes, metadata)

    def augment(self, x: Array, rng: np.random.Generator) -> Array:
        """Turned by up to 10 degrees, moved by up to 5 %, mirrored half of the time: MLPerf Tiny's recipe without its zoom."""
        return flipped(moved(x, rng, degrees=10.0, shift=0.05), rng)
