"""MobileNetV1 at width 0.25, the visual-wake-words network of MLPerf Tiny (Howard et al. 2017): 210,850 parameters after folding."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 32, "epochs": 50, "decay": 0.5, "decay_epochs": (20, 30), "momentum": 0.0}
"""Settings of back-propagation on the host. MLPerf Tiny's rates 1e-3, 5e-4 and 2.5e-4 from epochs 0, 20 and 30."""

BLOCKS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
"""Output channels and stride of each pair of a depthwise and a pointwise convolution."""


def mobilenet_v1_025(input_shape: tuple[int, ...] = (96, 96, 3), classes: int = 2) -> Network:
    """Conv 3x3x8 stride 2, thirteen pairs of depthwise 3x3 and pointwise convolutions, average pool over all, dense."""
    stack = Stack(input_shape)
    stack.conv("conv", 8, (3, 3), (2, 2))
    for block, (channels, stride) in enumerate(BLOCKS, 1):
        stack.depthwise(f"depthwise_{block}", (3, 3), (stride, stride))
        stack.conv(f"pointwise_{block}", channels, (1, 1))
    stack.average_pool("pool", (stack.shape[0], stack.shape[1]))
    stack.flatten()
    stack.dense("dense", classes)
    stack.add("softmax", Softmax())
    return stack.network("mobilenet_v1_025")


networks.add("mobilenet_v1_025", mobilenet_v1_025)
