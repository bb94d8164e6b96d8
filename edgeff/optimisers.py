"""Optimisers: what a direction does to the parameters. They are the same for every rule.

A direction maps layer -> parameter -> array. In a layer with moving averages (``LayerKind.moving``) nothing decays, and the averages are
not learned but moved towards what the batch says. ``weight_decay`` times the weight is added to the gradient (L2): Keras' ``l2(d)`` is 2 d.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.layers import kind
from edgeff.rules import Gradients, Run

ADAM_MEAN, ADAM_SQUARE, ADAM_EPS = 0.9, 0.999, 1e-7
"""Those of Keras (Kingma & Ba 2015; eps stands outside the correction)."""


class Optimiser:
    """Applies directions to ``run.params`` in place; holds the state of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.layers = {layer.name: layer for layer in run.network}
        self.steps = 0
        self.state: dict[tuple[str, str], Any] = {}

    def apply(self, direction: Gradients, lr: float) -> None:
        """One step with learning rate ``lr``."""
        self.steps += 1
        settings = self.run.settings
        for name, gradients in direction.items():
            layer = self.layers.get(name)
            moving = kind(layer).moving if layer else ()
            for parameter, gradient in gradients.items():
                weight = self.run.params[name][parameter]
                if layer and parameter in moving:
                    keep = np.asarray(layer.attrs["momentum"], weight.dtype)
                    weight += (1 - keep) * (gradient - weight)
                    continue
                decayed = gradient + settings.weight_decay * weight if settings.weight_decay and not moving else gradient
                weight -= self.change((name, parameter), decayed, lr).astype(weight.dtype, copy=False)
        self.run.steps += 1

    def change(self, key: tuple[str, str], gradient: Array, lr: float) -> Array:
        """What is taken off the parameter ``key``."""
        raise NotImplementedError


class Sgd(Optimiser):
    """``V = momentum V + lr (g + weight_decay W)``, ``W -= V``."""

    def change(self, key: tuple[str, str], gradient: Array, lr: float) -> Array:
        change = lr * gradient
        momentum = self.run.settings.momentum
        if momentum:
            change = self.state[key] = momentum * self.state.get(key, 0.0) + change
        return np.asarray(change)


class Adam(Optimiser):
    """``W -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)`` with m and v the moving means of g and g^2."""

    def change(self, key: tuple[str, str], gradient: Array, lr: float) -> Array:
        if key not in self.state:
            self.state[key] = np.zeros_like(gradient), np.zeros_like(gradient)
        mean, square = self.state[key]
        mean += (1 - ADAM_MEAN) * (gradient - mean)
        square += (1 - ADAM_SQUARE) * (gradient * gradient - square)
        rate = lr * np.sqrt(1 - ADAM_SQUARE**self.steps) / (1 - ADAM_MEAN**self.steps)
        return np.asarray(np.asarray(rate, gradient.dtype) * mean / (np.sqrt(square) + np.asarray(ADAM_EPS, gradient.dtype)))


OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "sgd": Sgd}
