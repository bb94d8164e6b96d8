"""The convolutional network of PEPITA's paper: 32 filters of 5x5, 2x2 max pooling, a dense head (Dellaferrera & Kreiman, ICML 2022)."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 50, "epochs": 20, "momentum": 0.0, "decay": 0.1, "decay_epochs": (15,)}
"""Settings of back-propagation on the host; those of PEPITA are in benchmarks/published_pepita.py."""


def pepita_cnn(input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> Network:
    """Without padding and without biases: 28x28 gives 24x24x32, pooled 12x12x32, so the head reads 4,608 values."""
    stack = Stack(input_shape)
    stack.add("conv", Conv2d(kernel_h=5, kernel_w=5, activation="relu"), channels=32)
    stack.max_pool("pool", (2, 2))
    stack.flatten()
    stack.add("dense", Dense(), shape=(classes,))
    stack.add("softmax", Softmax())
    return stack.network("pepita_cnn")


networks.add("pepita_cnn", pepita_cnn)
