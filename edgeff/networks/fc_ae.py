"""FC-AE, the dense autoencoder of MLPerf Tiny's anomaly detection (DCASE 2020 task 2): 265,864 parameters after folding."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks._stack import Stack
from edgeff.registry import networks

RECIPE = {"optimiser": "adam", "lr": 1e-3, "batch": 512, "epochs": 100, "decay_epochs": (), "momentum": 0.0}
"""Settings of back-propagation on the host. MLPerf Tiny's (its mean squared error differs by a factor, which has no effect with Adam)."""


def fc_ae(input_shape: tuple[int, ...] = (640,), classes: int = 0) -> Network:  # noqa: ARG001 - all networks have this signature
    """n - 128 x 4 - 8 - 128 x 4 - n for n inputs, batch norm and ReLU after every layer except the last; it reproduces its input."""
    (inputs,) = input_shape
    stack = Stack(input_shape)
    for number, width in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), 1):
        stack.dense(f"dense_{number}", width, norm=True, activation="relu")
    stack.dense("dense_10", inputs)
    return stack.network("fc_ae")


networks.add("fc_ae", fc_ae)
