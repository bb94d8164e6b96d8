"""Forward gradients: slopes of the loss along random directions, each from one forward derivative, estimate its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Numeric
from edgeff.ops import Activations, Params, forward, jvp, kind
from edgeff.ops.building import Value
from edgeff.rules import Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._directions import direction, direction_of_parameters, signs

CHOICES = {"projection": ("mean", "orthogonal"), "perturb": ("activities", "weights"), "distribution": ("signs", "normal")}


@dataclass(frozen=True)
class ForwardGradientSettings(Settings):
    """``tangents``: k, the number of directions per step. ``projection``: their ``mean``, or ``orthogonal`` (FROG).

    ``perturb``: ``activities`` (each sample has its own directions, for the outputs of the hidden layers before their activation)
    or ``weights`` (a batch shares them, for all parameters). ``distribution`` of a direction's entries: ``signs`` (+-1, of the
    counter-based generator) or ``normal`` (host only).
    """

    tangents: int = 1
    projection: str = "mean"
    perturb: str = "activities"
    distribution: str = "signs"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise BadInput(f"setting {name}", got=repr(getattr(self, name)), allowed=", ".join(allowed))
        if self.tangents < 1:
            raise BadInput("setting tangents", got=self.tangents, allowed="1 or more")


@register
class ForwardGradient(Rule):
    """``g = 1/k sum_i (df . v_i) v_i`` or ``V (V^T V)^-1 V^T df``, over directions v_i; ``df . v = <e, dz> / B`` by forward mode.

    Baydin et al. 2022 (weights, k = 1), Flugel et al. 2024 (k directions, their mean or the orthogonal projection), Ren et al. 2023
    (activities: ``d_l = df/dz_l`` is estimated for each sample and ``g_l = d_l^T h_{l-1} / B``; the last layer knows its d, which is e).
    Departures: entries are +-1 unless ``distribution`` is normal (E[v v^T] = I holds for both); activities use the network's loss, not a
    local one per layer; units that a ReLU has switched off are not perturbed, since their derivative is known to be 0.
    """

    values = True
    name = "forward_gradient"
    summary = "slopes along random directions, no backward pass"
    source = "Baydin et al. 2022; Ren et al., ICLR 2023; Flugel et al. 2024"
    stores = "the activations of one pass and of its tangents; directions are generated"
    settings: Settings = ForwardGradientSettings(relative_lr=0.03597, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {"float32": {"relative_lr": 0.2878, "distribution": "signs", "projection": "mean"}}
    numerics: tuple[Numeric, ...] = ("float32",)
    why_not = "directions and slopes have only float32 kernels"

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        h = forward(run.network, run.params, x)
        e = h[run.network.layers[-1].name] - t
        return self._activities(run, h, e) if run.settings.perturb == "activities" else self._weights(run, h, e)

    def _draw(self, run: Run, shape: tuple[int, ...], dtype: Any, *names: str) -> Array:
        """A direction's entries in a shape."""
        if run.settings.distribution == "normal":
            return run.rng.standard_normal(shape).astype(dtype)
        return signs(run, shape, dtype, *names)

    def _weights(self, run: Run, h: Activations, e: Array) -> Gradients:
        """All parameters move at once, except moving averages."""
        network, x = run.network, h["input"]
        directions: list[Params] = []
        slopes = []
        for i in range(run.settings.tangents):
            v = direction_of_parameters(run, i, self._draw)
            _, moved = jvp(network, run.params, v, x, values=h)
            directions.append(v)
            slopes.append(np.sum(e * moved[run.last.name].reshape(e.shape)) / np.asarray(len(x), e.dtype))
        places = [(layer, name) for layer, values in directions[0].items() for name in values]
        matrix = np.stack([np.concatenate([v[layer][name].reshape(-1) for layer, name in places]) for v in directions])
        estimate = combined(matrix[None], np.array(slopes)[None], run.settings.projection)[0]
        gradients: Gradients = {layer: {} for layer in directions[0]}
        ends = np.cumsum([directions[0][layer][name].size for layer, name in places])[:-1]
        for (layer, name), part in zip(places, np.split(estimate, ends), strict=True):
            gradients[layer][name] = part.reshape(run.params[layer][name].shape)
        return gradients

    def _activities(self, run: Run, h: Activations, e: Array) -> Gradients:
        """Each sample has its own directions; batch normalisation, which is not a matrix, is not perturbed."""
        layers, batch = [layer for layer in run.hidden if not kind(layer).moving], len(e)
        deltas = {run.last.name: e}
        if layers:
            rows, slopes = [], []
            for i in range(run.settings.tangents):
                u = {layer.name: self._draw(run, h[layer.name].shape, e.dtype, direction(i), layer.name) for layer in layers}
                u = {layer.name: kind(layer).gate(layer, u[layer.name], h[layer.name]) for layer in layers}
                _, moved = jvp(run.network, run.params, {}, h["input"], shifts=u, values=h)
                rows.append(np.concatenate([u[layer.name].reshape(batch, -1) for layer in layers], axis=1))
                slopes.append(np.sum(e * moved[run.last.name].reshape(e.shape), axis=1))
            estimate = combined(np.stack(rows, axis=1), np.stack(slopes, axis=1), run.settings.projection)
            parts = np.split(estimate, np.cumsum([prod(layer.shape) for layer in layers])[:-1], axis=1)
            deltas |= {layer.name: part.reshape(h[layer.name].shape) for layer, part in zip(layers, parts, strict=True)}
        return {
            layer.name: kind(layer).weight_gradient(layer, run.params[layer.name], deltas[layer.name], h[layer.inputs[0]])
            for layer in (*layers, run.last)
        }

    def lower(self, build: RuleBuilder) -> None:
        """One forward pass with k tangents beside it.

        Weights: only the tangents are kept, since the step consists of signs alone. Activities: the activations are kept.
        """
        if build.settings.distribution != "signs" or build.settings.projection != "mean":
            raise Unsupported(
                "forward gradients on a device",
                got=f"{build.settings.distribution} directions, their {build.settings.projection} combination",
                allowed="signs, mean",
                next_step="--set distribution=signs --set projection=mean",
            )
        weights, k = build.settings.perturb == "weights", build.settings.tangents
        last = build.network.trainable[-1]
        h = {"input": build.x}
        moved: list[dict[str, Value]] = [{} for _ in range(k)]
        for layer in build.layers:
            xs = tuple(h[name] for name in layer.inputs)
            h[layer.name] = build.forward(layer, *xs)
            if build.layers.index(layer) > build.layers.index(last):
                continue
            for i, d in enumerate(moved):
                dxs = tuple(d.get(name) for name in layer.inputs)
                dy = build.tangent(layer, dxs, xs) if any(dx is not None for dx in dxs) else None
                if layer.trainable and weights:
                    dy = build.signed_weights(direction(i), layer, xs[0], dy)
                elif layer.trainable and layer is not last:
                    dy = build.signs(direction(i), layer, build.number(1.0), dy)
                if dy is not None:
                    build.gate(dy, h[layer.name], layer)
                    d[layer.name] = dy
        e = build.error(h[build.layers[-1].name])
        learning = build.network.trainable if weights else build.network.trainable[:-1]
        slopes = [build.slope(e, d[last.name]) for d in moved] if learning else []
        if weights:
            for i, slope in enumerate(slopes):
                for layer in learning:
                    build.signed_update(direction(i), layer, slope, 1 / k)
            return
        for layer in learning:
            delta = build.signs(direction(0), layer, slopes[0])
            for i, slope in enumerate(slopes[1:], start=1):
                delta = build.signs(direction(i), layer, slope, delta)
            build.gate(delta, h[layer.name], layer)
            build.update(layer, delta, h[layer.inputs[0]], 1 / k)
        build.update(last, e, h[last.inputs[0]])


DEPENDENT = 1e-10
"""Relative to the largest eigenvalue of V^T V: smaller ones are rounding errors."""


def combined(matrix: Array, slopes: Array, projection: str) -> Array:
    """The estimates (B, n) from k directions each (B, k, n) and the slopes along them (B, k).

    The orthogonal one, ``V (V^T V)^-1 s``, is the shortest vector with these slopes; in float64, since directions may be linearly
    dependent.
    """
    if projection == "mean":
        weights = slopes / np.asarray(matrix.shape[1], matrix.dtype)
    else:
        wide = matrix.astype(np.float64)
        gram = wide @ wide.transpose(0, 2, 1)
        weights = (np.linalg.pinv(gram, rcond=DEPENDENT, hermitian=True) @ slopes[:, :, None])[:, :, 0]
    return np.asarray((weights[:, None] @ matrix)[:, 0], matrix.dtype)
