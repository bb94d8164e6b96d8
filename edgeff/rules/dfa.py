"""Direct feedback alignment: every hidden layer receives the output error through a fixed random matrix of its own (Nokland 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

import numpy as np

from edgeff.ir import Array, Network
from edgeff.kernels.arithmetic import feedback_signs, stream_key
from edgeff.ops import forward, kind
from edgeff.rules import FeedbackSettings, Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._feedback import lower_through_activations, through_activations
from edgeff.rules._filters import frozen_filters


@register
class DirectFeedbackAlignment(Rule):
    """``d_l = (e B_l) * relu'(z_l)``, ``g_l = d_l^T h_{l-1} / B``.

    Departure from the paper: B_l has entries +-feedback_scale / sqrt(C), so that one random bit gives an entry.
    """

    values = True
    name = "dfa"
    summary = "output error through fixed random matrices"
    source = "Nokland, NeurIPS 2016"
    stores = "all activations until the output error is known"
    settings: Settings = FeedbackSettings(relative_lr=0.3597, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.5755},
        "int16": {"relative_lr": 0.5755},
        "int8": {"relative_lr": 0.5755},
    }

    def caution(self, network: Network) -> str:
        return frozen_filters(self, network)

    def start(self, run: Run) -> None:
        n_e = prod(run.network.layers[-1].shape)
        scale = run.settings.feedback_scale / sqrt(n_e)
        run.extra["B"] = {
            layer.name: feedback_signs(prod(layer.shape), n_e, stream_key(run.seed, "feedback", layer.name)) * np.float32(scale)
            for layer in run.hidden
        }

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        h = forward(run.network, run.params, x)
        e = h[run.network.layers[-1].name] - t
        gradients: Gradients = {}
        for layer in run.network.trainable:
            delta = e
            if layer is not run.last:
                delta = through_activations(run.network, layer, (e @ run.extra["B"][layer.name].T).reshape(-1, *layer.shape), h)
            gradients[layer.name] = kind(layer).weight_gradient(layer, run.params[layer.name], delta, h[layer.inputs[0]])
        return gradients

    def lower(self, build: RuleBuilder) -> None:
        h = build.run(build.x)
        e = build.error(h[build.layers[-1].name])
        trained = build.network.trainable
        build.update(trained[-1], e, h[trained[-1].inputs[0]])
        scale = build.settings.feedback_scale / sqrt(e.elements)
        for layer in reversed(trained[:-1]):
            delta = build.feedback(layer.name, e, scale, n=h[layer.name].elements, stored=build.settings.feedback == "stored")
            build.update(layer, lower_through_activations(build, layer, delta, h), h[layer.inputs[0]])
