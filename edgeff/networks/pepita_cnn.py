"""The convolutional network of PEPITA's paper: 32 filters of 5x5, 2x2 max pooling, a dense head (Dellaferrera & Kreiman, ICML 2022)."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 50, "epochs": 20, "momentum": 0.0, "decay": 0.1, "decay_epochs": (15,)}
"""Settings of back-propagation on the host; those of PEPITA are in benchmarks/published_pepita.py."""


def pepita_cnn(input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> Network:
    """Without padding and without biases: 28x28 gives 24x24x32, pooled 12x12x32, so the head reads 4,608 values."""
    stack = Stack(input_shape)
    window = {"kernel_h": 5, "kernel_w": 5, "stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_left": 0, "pad_bottom": 0, "pad_right": 0}
    stack.add("conv", "conv2d", {**window, "activation": "relu", "bias": False}, channels=32)
    stack.max_pool("pool", (2, 2))
    stack.flatten()
    stack.add("dense", "dense", {"activation": "none", "bias": False}, shape=(classes,))
    stack.add("softmax", "softmax", {})
    return stack.network("pepita_cnn")


networks.add("pepita_cnn", pepita_cnn)
