"""What the tests of learning steps as graphs share: the rules, networks and rates, and their deployments."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from edgeff import registry
from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.program.deploy import Deployment, deploy
from edgeff.tasks import Data

DENSE = [(rule, numeric) for rule in registry.rules for numeric in registry.rules[rule].numerics]
NO_CONVOLUTIONS = {("block_ff", "float32"), ("block_ff", "int8"), ("afa", "int8")}
"""The rule itself refuses them on a device."""
CONVOLUTIONAL = [pair for pair in DENSE if pair not in NO_CONVOLUTIONS and pair[1] != "int16"]
GENTLE = {"pepita": 1e-3, "mempepita": 1e-3, "forward_gradient": 1e-5}
"""Rates for float32 convolutions from fresh weights: by their own, one step changes more than the weights themselves."""


@lru_cache
def digits() -> Data:
    data: Data = registry.tasks["digits"].load(0)
    return data


@lru_cache
def dense(name: str = "64-32-10") -> Network:
    return initialised(structure(name, bias=True), 0)


@lru_cache
def convolutions() -> Network:
    return initialised(structure("cnn_small", input_shape=(8, 8, 1), classes=10), 0)


def deployed(network: Network, rule: str, numeric: Any, **options: Any) -> Deployment:
    return deploy(network, digits().x_train.reshape(-1, *network.input_shape), rule=rule, numeric=numeric, **options)


def gently(rule: str, numeric: Any) -> Deployment:
    """The convolutional network, at a rate from which one step stays comparable."""
    changes = {"lr": GENTLE[rule]} if numeric == "float32" and rule in GENTLE else {}
    return deployed(convolutions(), rule, numeric, changes=changes)
