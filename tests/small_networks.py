"""A network of three layers that is quick to lower, build and learn, and what the tests of the core feed it."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff import registry
from edgeff.ir import NUMERICS, Array, Network, Numeric
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy

SMALL = "12-8-4"
RULES = tuple(registry.rules)
LOWERED = tuple(rule for rule in RULES if registry.rules[rule].numerics)
"""The rules that a device can run in some numeric."""
EVERY_PROGRAM: list[tuple[str | None, Numeric]] = [(None, numeric) for numeric in NUMERICS]
EVERY_PROGRAM += [(rule, numeric) for rule in LOWERED for numeric in registry.rules[rule].numerics]
CLASSIFYING = ("block_ff", "cwc", "deeper_forward", "ff", "local_heads", "mono_forward")
"""The rules that need classes."""
AUTOENCODING = [rule for rule, numeric in EVERY_PROGRAM if rule and rule not in CLASSIFYING and numeric == "int8"]
"""The rules that learn to output their input, in int8."""


def small(name: str = SMALL, *, softmax: bool = True, bias: bool = False) -> Network:
    """The network with seeded weights and, where it has them, seeded biases."""
    network = initialised(structure(name, softmax=softmax, bias=bias), 0)
    rng = np.random.default_rng(1)
    for layer in network.trainable:
        if "bias" in layer.params:
            layer.params["bias"][:] = rng.normal(scale=0.2, size=layer.params["bias"].shape)
    return network


def samples(count: int, network: Network | None = None) -> Array:
    """Seeded inputs in [0, 1), (count, inputs) float32."""
    inputs = 12 if network is None else network.input_shape[0]
    return np.random.default_rng(2).random((count, inputs), np.float32)


def deployed(rule: str | None, numeric: Numeric, network: Network | None = None, **options: Any) -> Deployment:
    """The small network, or another, as a program."""
    network = network or small()
    return deploy(network, samples(40, network), rule=rule, numeric=numeric, **options)
