"""Learning rates that follow the network and its inputs, where the settings leave them open.

In come a rule, its settings, the network as the rule trains it, and samples if there are any; out go settings with ``lr`` and
``decay_epochs`` filled in:

    lr = relative_lr / (energy (1/4 + 1/batch))        energy = sum over the layers that learn of fan-in times mean square of its inputs

A step of rate r changes a layer's outputs for a sample by r times the squared length of what the layer reads, so the sum over the
layers, that is over fan-in, depth and the inputs' scale, decides what rate is stable (normalised least mean squares; Nagumo & Noda
1967). Of that, a quarter is shared by all samples, for inputs that are not centred have one long direction; the rest averages out in a
mini-batch. The mean square of the inputs is that of the samples, weighted by itself (``E r^2 / E r``), for large samples are what makes
a run diverge; a ReLU layer drawn by He's rule hands it on, normalisation makes it 1. No weights are read: a network has the same rate
before and after training, quantised or not. Without samples, inputs are taken to be as the digits' are.

Networks with convolutions keep the rate that digits have on 64-32-10: their recipes (``edgeff.networks.recipe``) have rates of their
own. Adam, which does not feel the scale of a gradient, gets ``ADAM_LR``. Rates are rounded to two digits, so that another sample of
the same data has the same rate.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.ir import Array, Network
from edgeff.ops import kind
from edgeff.ops.batch_norm import BatchNorm
from edgeff.ops.dense import Dense
from edgeff.ops.normalise import Normalise
from edgeff.ops.standardise import Standardise
from edgeff.rules import DIGITS_POWER, Rule

SMALLEST_POWER = 0.05
"""Below it inputs are to be standardised: weights drawn for larger ones would have to move too far."""
SHARED = 0.25
ADAM_LR = 2e-3
MOST_SAMPLES = 2000


def power_of(x: Array | None) -> float:
    """The mean square of inputs x (n, ...), samples weighted by their own; the digits' without samples, or where all are 0.

    >>> power_of(np.array([[1.0, 1.0], [0.0, 0.0]])), power_of(None)
    (1.0, 0.2398)
    """
    if x is None or not len(x):
        return DIGITS_POWER
    flat = np.asarray(x[:MOST_SAMPLES], np.float64).reshape(min(len(x), MOST_SAMPLES), -1)
    squares = np.mean(flat * flat, axis=1)
    total = float(squares.sum())
    power = float((squares * squares).sum()) / total if total > 0.0 else DIGITS_POWER
    return max(power, SMALLEST_POWER) if np.isfinite(power) else DIGITS_POWER


def energy_of(network: Network, learning: Collection[str], power: float) -> float | None:
    """The mean squared length of all that the layers called ``learning`` read, for inputs of mean square ``power``.

    None for a network with layers that are neither dense nor normalise.

    >>> from edgeff.networks import initialised, structure
    >>> energy_of(initialised(structure("64-32-10"), 0), ["dense_1", "dense_2"], 1.0)
    96.0
    """
    powers, energy = {"input": power}, 0.0
    for layer in network:
        normalises = isinstance(layer.op, Normalise | Standardise | BatchNorm)
        powers[layer.name] = 1.0 if normalises or not layer.inputs else powers.get(layer.inputs[0], power)
        if not layer.trainable or normalises:
            continue
        if not isinstance(layer.op, Dense):
            return None
        if layer.name in learning:
            weight = layer.params["weight"]
            energy += weight.size / weight.shape[kind(layer).weight_axis] * powers.get(layer.inputs[0], power)
    return energy or None


def rate_of(rule: Rule, settings: Any, energy: float | None = None, pace: float = 1.0) -> float:
    """``settings.lr``, or where that is None the rate that follows from ``energy``, by default that of 64-32-10 on digits, and ``pace``."""
    if settings.lr is not None:
        return float(settings.lr)
    if settings.optimiser == "adam":
        return ADAM_LR
    return float(f"{settings.relative_lr * pace / ((energy or rule.digits_energy) * (SHARED + 1 / settings.batch)):.2g}")


def resolved(rule: Rule, settings: Any, network: Network, x: Array | None = None) -> Any:
    """``settings`` with the rate and the epochs of its decay that ``rule`` uses on ``network``; what is given stays.

    Args: ``network``, as ``rule.prepare`` makes it; ``x``, samples (n, *input shape) of what it reads.
    """
    if settings.lr is None:
        energy = energy_of(network, rule.paced_by(network), power_of(x))
        settings = replace(settings, lr=rate_of(rule, settings, energy, rule.pace(network)))
    if settings.decay_epochs is None:
        settings = replace(settings, decay_epochs=tuple(round(share * settings.epochs) for share in settings.decay_shares))
    return settings
