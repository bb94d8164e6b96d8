"""Zeroth-order learning: two passes with the weights moved along a random direction and back say how the loss changes along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Network, Numeric
from edgeff.ops import forward
from edgeff.rules import Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._directions import direction, direction_of_parameters

WEIGHTS_64_32_10 = 2_368


@dataclass(frozen=True)
class ZerothOrderSettings(Settings):
    """``directions``: k, how many a step averages. ``epsilon``: how far every parameter is moved to either side."""

    directions: int = 4
    epsilon: float = 5e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.directions < 1:
            raise BadInput("setting directions", got=self.directions, allowed="1 or more")
        if not 1e-6 <= self.epsilon <= 1.0:
            raise BadInput("setting epsilon", got=self.epsilon, allowed="1e-06 to 1")


def weights_of(network: Network) -> int:
    """How many weights move together."""
    return sum(layer.params["weight"].size for layer in network.trainable if "weight" in layer.params)


@register
class ZerothOrder(Rule):
    """``g = 1/k sum_i ((L(w + eps v_i) - L(w - eps v_i)) / (2 eps)) v_i`` with signs v_i, drawn anew for every step.

    Spall 1992 (SPSA); in place and with directions that are generated again instead of stored, Malladi et al., NeurIPS 2023 (MeZO).
    Departure: the difference of the losses is ``<(e+ + e-) / 2, z+ - z->``, of the errors e and of what the last layer writes, z: equal for
    squared error, and for cross-entropy to the third order of z+ - z-; no logarithm is needed, and none of a probability near 1 loses bits.
    """

    values = True
    name = "zeroth_order"
    summary = "two passes along a random direction, in the RAM of inference"
    source = "Spall 1992; Malladi et al., NeurIPS 2023"
    stores = "two outputs of the last layer; directions are generated, weights moved and moved back in place"
    settings: Settings = ZerothOrderSettings(relative_lr=0.0144, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {"float32": {"relative_lr": 0.0288}}
    numerics: tuple[Numeric, ...] = ("float32",)
    why_not = "an integer weight at its limit could not be moved and moved back"
    no_margin = "a direction for all weights says little of each: below frozen hidden layers, as forward gradients of weights are"

    def pace(self, network: Network) -> float:
        """The square of an estimate grows with the parameters that move together, so the rate falls with their number."""
        return WEIGHTS_64_32_10 / weights_of(network)

    def caution(self, network: Network) -> str:
        return f"a slope for all of {weights_of(network):,} weights says little of each: {self.name} is a baseline, and learns slowly"

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        network, settings = run.network, run.settings
        gradients: Gradients = {}
        for number in range(settings.directions):
            v = direction_of_parameters(run, number)
            ends = []
            for epsilon in (settings.epsilon, -settings.epsilon):
                moved = {
                    name: {
                        key: value + np.asarray(epsilon, value.dtype) * v[name][key] if key in v.get(name, {}) else value
                        for key, value in own.items()
                    }
                    for name, own in run.params.items()
                }
                h = forward(network, moved, x)
                ends.append((h[network.layers[-1].name] - t, h[run.last.name]))
            (e_up, z_up), (e_down, z_down) = ends
            slope = np.sum((e_up + e_down) * (z_up - z_down).reshape(e_up.shape)) / np.asarray(4 * settings.epsilon * len(x), x.dtype)
            for name, own in v.items():
                known = gradients.setdefault(name, {})
                for key, value in own.items():
                    part = slope * value / np.asarray(settings.directions, value.dtype)
                    known[key] = known[key] + part if key in known else part
        return gradients

    def lower(self, build: RuleBuilder) -> None:
        """The parameters are moved up, down and back for each direction, and change when all slopes are known."""
        epsilon, k = build.settings.epsilon, build.settings.directions
        learning, last = build.network.trainable, build.network.trainable[-1]
        slopes = []
        for name in map(direction, range(k)):
            ends = []
            for amount in (epsilon, -2 * epsilon):
                for layer in learning:
                    build.perturb(name, layer, amount)
                h = build.run(build.x)
                ends.append((build.error(h[build.layers[-1].name]), h[last.name]))
            for layer in learning:
                build.perturb(name, layer, epsilon)
            (e_up, z_up), (e_down, z_down) = ends
            slopes.append(build.slope(build.sum(e_up, e_down), build.difference(z_up, z_down)))
        for name, slope in zip(map(direction, range(k)), slopes, strict=True):
            for layer in learning:
                build.signed_update(name, layer, slope, 1 / (4 * epsilon * k))
