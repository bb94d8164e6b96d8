"""ResNet-8, the image-classification network of MLPerf Tiny (after He et al. 2016): 77,706 parameters after folding."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.ops.add import Add
from edgeff.ops.softmax import Softmax
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 32, "epochs": 500, "decay": 0.99, "decay_epochs": (), "decay_every": 1, "momentum": 0.0}
"""Settings of back-propagation on the host. MLPerf Tiny's: the learning rate is 1e-3 * 0.99^epoch."""


def resnet8(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> Network:
    """Conv 16, three stacks of two 3x3 convolutions (16, 32 and 64 channels), average pool over all, dense.

    The second and third stack halve the image, in their skip connection by a 1x1 convolution without batch norm.
    """
    stack = Stack(input_shape)
    below = stack.conv("conv", 16, (3, 3))
    for number, channels in enumerate((16, 32, 64), 1):
        stride = (1, 1) if number == 1 else (2, 2)
        stack.conv(f"stack_{number}_a", channels, (3, 3), stride)
        main = stack.conv(f"stack_{number}_b", channels, (3, 3), activation="none")
        if number > 1:
            stack.below = below
            below = stack.conv(f"stack_{number}_skip", channels, (1, 1), stride, norm=False, activation="none")
        below = stack.add(f"stack_{number}", Add(activation="relu"), (below, main))
    stack.average_pool("pool", (stack.shape[0], stack.shape[1]))
    stack.flatten()
    stack.dense("dense", classes)
    stack.add("softmax", Softmax())
    return stack.network("resnet8")


networks.add("resnet8", resnet8)
