"""PEPITA: the second forward pass sees an input modulated by the error of the first (Dellaferrera & Kreiman, ICML 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import Array, Headroom, Network, Numeric
from edgeff.kernels.arithmetic import feedback_signs, stream_key
from edgeff.layers import Activations, kind
from edgeff.rules import FeedbackSettings, Gradients, Rule, Run, Settings, register


@dataclass(frozen=True)
class PepitaSettings(FeedbackSettings):
    """``feedback_scale``: F is +-feedback_scale * sqrt(2 / D), the deviation of the paper's ``s U(+-sqrt(6 / D))`` at the same s."""

    lr: float = 0.05
    batch: int = 16
    dropout: float = 0.1
    feedback_scale: float = 0.1
    largest_scale: ClassVar[float] = 10.0

    def entry(self, n_in: int) -> float:
        """The magnitude of an entry of F."""
        return self.feedback_scale * sqrt(2.0 / n_in)


@register
class Pepita(Rule):
    """Pass 1: ``h_l``, ``o``, ``e = o - t``. Pass 2 from ``h'_0 = x + e F^T`` with the same weights and dropout masks.

    ``g_l = (h_l - h'_l)^T h'_{l-1} / B`` for hidden layers, ``g_L = (o' - t)^T h'_{L-1} / B``. Departure from the paper: F's entries are
    +-s with the paper's deviation, not uniform, so that one random bit makes an entry.
    """

    name = "pepita"
    summary = "error-modulated second forward pass"
    source = "Dellaferrera & Kreiman, ICML 2022"
    stores = "all activations of the clean pass; F is generated"
    settings: Settings = PepitaSettings()
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"lr": 0.04, "feedback_scale": 0.15},
        "int16": {"lr": 0.04, "feedback_scale": 0.15},
        "int8": {"lr": 0.03, "feedback_scale": 0.2},
    }

    divergence_hint = "feedback_scale x lr is too large: lower one of them (--set feedback_scale=... --set lr=...)"

    def start(self, run: Run) -> None:
        n_in, n_out = prod(run.network.input_shape), prod(run.network.layers[-1].shape)
        signs = feedback_signs(n_in, n_out, stream_key(run.seed, "feedback", "input"))
        run.extra["F"] = signs * np.float64(run.settings.entry(n_in))

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """As any rule's, and around the inputs the largest modulation: sum |e| <= 2 behind a softmax."""
        return replace(super().headroom(network, settings, numeric), input_margin=2.0 * settings.entry(prod(network.input_shape)))

    def _masks(self, run: Run, batch: int) -> dict[str, Array]:
        """Inverted dropout of the hidden layers' outputs: 0 or 1 / keep, one mask for both passes."""
        keep = 1.0 - run.settings.dropout
        if keep == 1.0:
            return {}
        return {layer.name: ((run.rng.random((batch, *layer.shape)) < keep) / keep).astype(np.float32) for layer in run.hidden}

    def _pass(self, run: Run, x: Array, masks: dict[str, Array]) -> Activations:
        h: Activations = {"input": x}
        for layer in run.network:
            h[layer.name] = kind(layer).forward(layer, run.params.get(layer.name, {}), *(h[name] for name in layer.inputs)) * masks.get(
                layer.name, 1.0
            )
        return h

    def _modulated(self, run: Run, x: Array, e: Array) -> Array:
        """``x + e F^T``, in x's shape."""
        return (x.reshape(len(x), -1) + e @ run.extra["F"].T).reshape(x.shape)

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        output = run.network.layers[-1].name
        masks = self._masks(run, len(x))
        h = self._pass(run, x, masks)
        e = h[output] - t
        hm = self._pass(run, self._modulated(run, x, e), masks)
        gradients: Gradients = {}
        for layer in run.network.trainable:
            delta = hm[output] - t if layer is run.last else h[layer.name] - hm[layer.name]
            gradients[layer.name] = kind(layer).weight_gradient(layer, run.params[layer.name], delta, hm[layer.inputs[0]])
        return gradients

    def modulate(self, build: Any, e: Any, x: Any) -> Any:
        """x += F e in place; returns x."""
        return build.feedback("input", e, build.settings.entry(x.elements), onto=x, stored=build.settings.feedback == "stored")

    def lower(self, build: Any) -> None:
        """The modulated input overwrites the clean one, unless that is the target.

        A layer is updated as soon as its modulated activation is there.
        """
        h = build.run(build.x)
        e = build.error(h[build.layers[-1].name])
        last = build.network.trainable[-1]
        hm = {"input": self.modulate(build, e, build.copy(build.x) if build.target == "input" else build.x)}
        for layer in build.layers:
            hm[layer.name] = build.forward(layer, *(hm[name] for name in layer.inputs))
            if layer.trainable and layer is not last:
                build.update(layer, build.difference(h[layer.name], hm[layer.name]), hm[layer.inputs[0]])
        build.update(last, build.error(hm[build.layers[-1].name]), hm[last.inputs[0]])
