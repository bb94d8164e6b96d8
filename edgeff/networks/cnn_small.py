"""A small convolutional network for comparing rules: three 3x3 convolutions with max pooling between them, and a dense head."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 32, "epochs": 20, "decay": 0.1, "decay_epochs": (14,), "momentum": 0.0}
"""Settings of back-propagation on the host."""


def cnn_small(input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> Network:
    """Convolutions of 20, 40 and 80 channels, each followed by 2x2 max pooling, and a dense head.

    No normalisation. The counts of channels are multiples of ten, so that ten classes can share them out.
    """
    stack = Stack(input_shape)
    for number, channels in enumerate((20, 40, 80), 1):
        stack.conv(f"conv_{number}", channels, (3, 3), norm=False)
        stack.max_pool(f"pool_{number}", (2, 2))
    stack.flatten()
    stack.dense("dense", classes)
    stack.add("softmax", "softmax", {})
    return stack.network("cnn_small")


networks.add("cnn_small", cnn_small)
