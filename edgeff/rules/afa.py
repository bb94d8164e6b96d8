"""Adaptive feedback alignment: PEPITA to first order in F, by one forward derivative (Srinivasan et al., ICLR 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Network
from edgeff.kernels.arithmetic import feedback_signs, stream_key
from edgeff.ops import forward, jvp, kind
from edgeff.rules import FeedbackSettings, Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._filters import frozen_filters


@dataclass(frozen=True)
class AfaSettings(FeedbackSettings):
    """``feedback_scale`` and ``feedback_inputs``: of F, as PEPITA's."""

    feedback_scale: float = 0.1
    feedback_inputs: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feedback_inputs < 0:
            raise BadInput("setting feedback_inputs", got=self.feedback_inputs, allowed="0 or more")

    def entry(self, n_in: int) -> float:
        """The magnitude of an entry of F."""
        return self.feedback_scale * sqrt(2.0 / min(n_in, self.feedback_inputs or n_in))


@register
class AdaptiveFeedbackAlignment(Rule):
    """``d_0 = -e F^T``, ``d_l = (d_{l-1} W_l^T) * relu'(z_l)``, ``g_l = d_l^T h_{l-1} / B``; the last layer learns from e.

    d is the network's derivative along ``-F e`` at its input: ``h_l - h'_l`` of PEPITA to first order in F, with PEPITA's own matrix.
    So any layer with a forward derivative carries it, convolutions, pools and skips among them. Departure from the paper: F's entries are
    +-s, as in PEPITA.
    """

    values = True
    name = "afa"
    summary = "PEPITA to first order: one forward derivative"
    source = "Srinivasan, Mignacco, Sorbaro, Refinetti, Cooper, Kreiman & Dellaferrera, ICLR 2024"
    stores = "all activations of one pass; F is generated"
    settings: Settings = AfaSettings(relative_lr=0.3597, batch=16)
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 1.151, "feedback_scale": 0.15},
        "int16": {"relative_lr": 1.151, "feedback_scale": 0.15},
        "int8": {"relative_lr": 0.8633, "feedback_scale": 0.2},
    }
    divergence_hint = "feedback_scale x lr is too large: lower one of them (--set feedback_scale=... --set lr=...)"

    def caution(self, network: Network) -> str:
        return frozen_filters(self, network)

    def start(self, run: Run) -> None:
        n_in, n_out = prod(run.network.input_shape), prod(run.network.layers[-1].shape)
        signs = feedback_signs(n_in, n_out, stream_key(run.seed, "feedback", "input"))
        run.extra["F"] = signs * np.float64(run.settings.entry(n_in))

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        h = forward(run.network, run.params, x)
        e = h[run.network.layers[-1].name] - t
        _, d = jvp(run.network, run.params, {}, x, -(e @ run.extra["F"].T).reshape(x.shape), values=h)
        gradients: Gradients = {}
        for layer in run.network.trainable:
            delta = e if layer is run.last else d[layer.name]
            gradients[layer.name] = kind(layer).weight_gradient(layer, run.params[layer.name], delta, h[layer.inputs[0]])
        return gradients

    def lower(self, build: RuleBuilder) -> None:
        """A layer is updated as soon as its derivative is known: later layers still have their old weights."""
        h = build.run(build.x)
        e = build.error(h[build.layers[-1].name])
        last = build.network.trainable[-1]
        build.update(last, e, h[last.inputs[0]])
        build.negate(e)
        settings, n = build.settings, build.x.elements
        d = {"input": build.feedback("input", e, settings.entry(n), n=n, stored=settings.feedback == "stored")}
        for layer in build.layers[: build.layers.index(last)]:
            xs = tuple(h[name] for name in layer.inputs)
            d[layer.name] = build.tangent(layer, tuple(d[name] for name in layer.inputs), xs)
            build.gate(d[layer.name], h[layer.name], layer)
            if layer.trainable:
                build.update(layer, d[layer.name], xs[0])
