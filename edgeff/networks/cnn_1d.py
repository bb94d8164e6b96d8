"""A small convolutional network over a signal: a wide first kernel, then short ones (after Zhang et al. 2017, "WDCNN")."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.ops.reshape import Reshape
from edgeff.ops.softmax import Softmax
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 64, "epochs": 10, "decay_epochs": (7,), "momentum": 0.0}
"""Settings of back-propagation on the host."""


def cnn_1d(input_shape: tuple[int, ...] = (1024, 1), classes: int = 2) -> Network:
    """Conv 64x8 stride 8, conv 3x16 and 3x32 stride 2, average over 4 in a row, dense; batch norm and ReLU after each convolution."""
    stack = Stack(input_shape)
    for number, (channels, kernel, stride) in enumerate(((8, 64, 8), (16, 3, 2), (32, 3, 2)), 1):
        stack.conv_1d(f"conv_{number}", channels, kernel, stride)
    stack.add("rows", Reshape(), shape=(1, *stack.shape))
    stack.average_pool("pool", (1, 4))
    stack.flatten()
    stack.dense("dense", classes)
    stack.add("softmax", Softmax())
    return stack.network("cnn_1d")


networks.add("cnn_1d", cnn_1d)
