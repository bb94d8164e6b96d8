"""Back-propagation, the baseline every memory and accuracy figure is set against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeff.ir import Array
from edgeff.layers import forward, kind
from edgeff.rules import Gradients, Rule, Run, Settings, register


@register
class BackPropagation(Rule):
    """``d_L = o - t``, ``d_l = (d_{l+1} W_{l+1}) * relu'(z_l)``, ``g_l = d_l^T h_{l-1} / B`` (Rumelhart, Hinton & Williams 1986)."""

    name = "bp"
    summary = "back-propagation, the baseline"
    source = "Rumelhart, Hinton & Williams 1986"
    settings = Settings(lr=0.05, batch=16, epochs=60, decay_epochs=(40, 54))
    device: Mapping[str, Mapping[str, Any]] = {"float32": {"lr": 0.02}, "int16": {"lr": 0.02}, "int8": {"lr": 0.02}}

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        h = forward(run.network, run.params, x)
        gradients: Gradients = {}
        delta = h[run.network.layers[-1].name] - t
        for layer in reversed(run.network.layers[: run.network.layers.index(run.last) + 1]):
            params = run.params.get(layer.name, {})
            if layer is not run.last:
                delta = kind(layer).gate(layer, delta, h[layer.name])
            gradients[layer.name] = kind(layer).weight_gradient(layer, params, delta, h[layer.inputs[0]])
            if layer.inputs[0] != "input":
                delta = kind(layer).input_gradient(layer, params, delta)
        return gradients

    def lower(self, build: Any) -> None:
        h = build.run(build.x)
        trained = build.network.trainable
        delta = build.error(h[build.layers[-1].name])
        for layer in reversed(build.layers[: build.layers.index(trained[-1]) + 1]):
            if layer is not trained[-1]:
                build.gate(delta, h[layer.name], layer)
            below = build.input_gradient(layer, delta) if layer.inputs[0] != "input" else None
            build.update(layer, delta, h[layer.inputs[0]])
            if below is not None:
                delta = below
