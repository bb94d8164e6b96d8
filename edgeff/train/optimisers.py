"""Optimisers: how a direction changes the parameters. They are the same for every rule.

A direction maps layer -> parameter -> array. In a layer with moving averages (``Operator.moving``) nothing decays, and the averages are
not learned but moved towards the batch's values. ``weight_decay`` times the weight is added to the gradient (L2): Keras' ``l2(d)`` is 2 d.
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.ops import kind, record
from edgeff.ops.batch_norm import BatchNorm
from edgeff.ops.parallel import cached, each, workspace
from edgeff.rules import Gradients, Run

ADAM_MEAN, ADAM_SQUARE, ADAM_EPS = 0.9, 0.999, 1e-7
"""Constants of Keras (Kingma & Ba 2015; eps is outside the correction)."""


class Optimiser:
    """Applies directions to ``run.params`` in place; holds the state of one run: ``keeps`` arrays in each parameter's shape."""

    keeps = 0

    def __init__(self, run: Run) -> None:
        self.run = run
        self.layers = {layer.name: layer for layer in run.network}
        self.steps = 0
        self.state: dict[tuple[str, str], list[Array]] = {}

    def apply(self, direction: Gradients, lr: float) -> None:
        """One step with learning rate ``lr``."""
        self.steps += 1
        for name, gradients in direction.items():
            layer = self.layers.get(name)
            moving = kind(layer).moving if layer else ()
            for parameter, gradient in gradients.items():
                weight = self.run.params[name][parameter]
                if layer and parameter in moving:
                    keep = np.asarray(record(layer, BatchNorm).momentum, weight.dtype)
                    weight += (1 - keep) * (gradient - weight)
                    continue
                decay = 0.0 if moving else self.run.settings.weight_decay
                self._apply((name, parameter), weight, np.asarray(gradient), lr, decay)
        self.run.steps += 1

    def _apply(self, key: tuple[str, str], weight: Array, gradient: Array, lr: float, decay: float) -> None:
        """One step of one parameter, in slices that stay in the cache, on all cores."""
        state = self.state.setdefault(key, [])
        while len(state) < self.keeps:
            state.append(np.zeros_like(weight))

        def work(part: slice) -> None:
            w, g = weight[part], gradient[part]
            if decay:
                g = np.multiply(w, decay, out=workspace("decayed", w.shape, w.dtype))
                np.add(g, gradient[part], out=g, casting="same_kind")
            self.move(w, g, [array[part] for array in state], lr)

        each(work, cached(weight, gradient, *state))

    def move(self, weight: Array, gradient: Array, state: list[Array], lr: float) -> None:
        """Changes a slice of a weight, and of its state, in place by the slice of the gradient, which includes weight decay."""
        raise NotImplementedError


class Sgd(Optimiser):
    """``V = momentum V + lr (g + weight_decay W)``, ``W -= V``."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.keeps = int(run.settings.momentum > 0)

    def move(self, weight: Array, gradient: Array, state: list[Array], lr: float) -> None:
        change = np.multiply(gradient, lr, out=workspace("change", weight.shape, weight.dtype), casting="same_kind")
        if state:
            velocity = state[0]
            velocity *= self.run.settings.momentum
            velocity += change
            change = velocity
        weight -= change


class Adam(Optimiser):
    """``W -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)`` with m and v the moving means of g and g^2."""

    keeps = 2

    def move(self, weight: Array, gradient: Array, state: list[Array], lr: float) -> None:
        mean, square = state
        change = workspace("change", weight.shape, weight.dtype)
        np.subtract(gradient, mean, out=change, casting="same_kind")
        change *= 1 - ADAM_MEAN
        mean += change
        np.multiply(gradient, gradient, out=change, casting="same_kind")
        change -= square
        change *= 1 - ADAM_SQUARE
        square += change
        np.sqrt(square, out=change)
        change += ADAM_EPS
        np.divide(mean, change, out=change)
        change *= lr * np.sqrt(1 - ADAM_SQUARE**self.steps).item() / (1 - ADAM_MEAN**self.steps)
        weight -= change


OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "sgd": Sgd}
