"""DS-CNN, the keyword-spotting network of MLPerf Tiny (after Zhang et al. 2017, "Hello Edge"): 22,604 parameters after folding."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.registry import networks

RECIPE = {
    "optimiser": "adam",
    "lr": 5e-4,
    "batch": 100,
    "epochs": 36,
    "decay": 0.2,
    "decay_epochs": (12, 24),
    "weight_decay": 2e-4,
    "momentum": 0.0,
}
"""Settings of back-propagation on the host. MLPerf Tiny's: the learning rate is 5e-4, 1e-4 and 2e-5 from epochs 0, 12 and 24."""


def ds_cnn(input_shape: tuple[int, ...] = (49, 10, 1), classes: int = 12) -> Network:
    """Conv 10x4x64 stride 2, four pairs of depthwise 3x3 and pointwise 64, average pool over all, dense; batch norm and ReLU after each.

    Args: ``input_shape``, frames, coefficients and 1; ``classes``.
    """
    stack = Stack(input_shape)
    stack.conv("conv", 64, (10, 4), (2, 2))
    for block in range(1, 5):
        stack.depthwise(f"depthwise_{block}", (3, 3))
        stack.conv(f"pointwise_{block}", 64, (1, 1))
    stack.average_pool("pool", (stack.shape[0], stack.shape[1]))
    stack.flatten()
    stack.dense("dense", classes)
    stack.add("softmax", Softmax())
    return stack.network("ds_cnn")


networks.add("ds_cnn", ds_cnn)
