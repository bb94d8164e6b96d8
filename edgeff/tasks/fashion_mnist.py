"""Fashion-MNIST: 70,000 pictures of clothes of 28x28 pixels (Xiao, Rasul & Vollgraf 2017; MIT), the official 60,000 / 10,000 or a subset.

Read from ``fashion_mnist_10k_2k.npz`` in the user's folder, 10,000 / 2,000 of them with as many of each class, else from the four official
IDX files. Those are called as MNIST's are, so they are kept under names that begin with ``fashion-``.
"""

from __future__ import annotations

from edgeff.tasks import Data, Task, register
from edgeff.tasks._files import Remote
from edgeff.tasks.mnist import read_images

FILE = "fashion_mnist_10k_2k.npz"
SERVER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
COPY = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def official(name: str, checksum: str, size_bytes: int) -> Remote:
    """One of the official files."""
    return Remote(f"{SERVER}/{name}", checksum, size_bytes, (f"{COPY}/{name}",), f"fashion-{name}")


OFFICIAL = {
    "x_train": official("train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    "y_train": official("train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe", 29_515),
    "x_test": official("t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    "y_test": official("t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310", 5_148),
}


@register
class FashionMnist(Task):
    """Pictures (28, 28, 1), pixels / 255; the official test part, or the subset's 2,000 of it, tests."""

    name = "fashion_mnist"
    summary = "28x28 pictures of clothes, 10 classes"
    input_shape = (28, 28, 1)
    classes = CLASSES

    def load(self, seed: int = 0) -> Data:
        return read_images("Fashion-MNIST", FILE, OFFICIAL, self.classes)
