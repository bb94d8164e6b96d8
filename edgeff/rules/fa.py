"""Feedback alignment: back-propagation whose errors are propagated through fixed random matrices (Lillicrap et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from edgeff.ir import Array, Layer, Quant
from edgeff.kernels.arithmetic import feedback_signs, stream_key
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.rules import FeedbackSettings, Run, Settings, register
from edgeff.rules._backward import BackwardSettings, reached_from
from edgeff.rules._building import RuleBuilder
from edgeff.rules.bp import BackPropagation


@dataclass(frozen=True)
class FaSettings(FeedbackSettings, BackwardSettings):
    """``feedback_scale``: of B; the others as back-propagation's."""


@register
class FeedbackAlignment(BackPropagation):
    """``d_L = o - t``, ``d_l = (d_{l+1} B_{l+1}) * relu'(z_l)``, ``g_l = d_l^T h_{l-1} / B``; B_l has the shape of W_l.

    Departure from the paper: B_l has entries +-feedback_scale * sqrt(2 / fan-in), the deviation of fresh weights, so that one random bit
    gives an entry: a device generates those of dense layers and stores nothing. Those of convolutions are stored beside the weights.
    """

    values = True
    name = "fa"
    summary = "back-propagation through fixed random matrices"
    source = "Lillicrap et al., Nature Communications 2016"
    settings: Settings = FaSettings(relative_lr=0.3597, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.5755},
        "int16": {"relative_lr": 0.5755},
        "int8": {"relative_lr": 0.5755},
    }

    def start(self, run: Run) -> None:
        above = reached_from(run.network, run.network.trainable)
        run.extra["B"] = {
            layer.name: feedback(layer, run.settings.feedback_scale, stream_key(run.seed, "feedback", layer.name))
            for layer in run.network.trainable
            if has_matrix(layer) and above.intersection(layer.inputs)
        }

    def carriers(self, run: Run, layer: Layer) -> Mapping[str, Array]:
        params = super().carriers(run, layer)
        return {**params, "weight": run.extra["B"][layer.name]} if layer.name in run.extra["B"] else params

    def lower_below(self, build: RuleBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """Integers: behind the first matrix a delta spans sqrt(n) times its largest entry, which sums of random signs seldom leave."""
        if not has_matrix(layer):
            return super().lower_below(build, layer, delta, *xs)
        if isinstance(kind(layer), Dense):
            last = layer is build.network.trainable[-1]
            largest = build.largest_error if last else sqrt(delta.elements) * 32767 * delta.scale
            entry, stored = scale_of(layer, build.settings.feedback_scale), build.settings.feedback == "stored"
            return (build.feedback(layer.name, delta, entry, n=xs[0].elements, stored=stored, largest=largest),)
        matrix = feedback(layer, build.settings.feedback_scale, build.key("feedback", layer.name))
        quant = dict(layer.quant)
        if build.numeric != "float32":
            entry = scale_of(layer, build.settings.feedback_scale)
            matrix, quant["weight"] = np.rint(127 * matrix / entry).astype(np.int8), Quant((entry / 127,))
        layer = replace(layer, name=f"{layer.name}.feedback", params={"weight": matrix}, quant=quant)
        return super().lower_below(build, layer, delta, *xs)


def has_matrix(layer: Layer) -> bool:
    """Whether errors pass through a weight of the layer that feedback can replace; batch normalisation's scale does not count."""
    return "weight" in layer.params and layer.params["weight"].ndim > 1


def scale_of(layer: Layer, feedback_scale: float) -> float:
    """The magnitude of an entry of B: ``feedback_scale * sqrt(2 / fan-in)``."""
    weight = layer.params["weight"]
    return feedback_scale * sqrt(2.0 * weight.shape[kind(layer).weight_axis] / weight.size)


def feedback(layer: Layer, feedback_scale: float, key: int) -> Array:
    """B in the shape of the layer's weight, float32: the generated matrix (fan-in, outputs), transposed."""
    weight, axis = layer.params["weight"], kind(layer).weight_axis
    outputs = weight.shape[axis]
    rest = tuple(size for at, size in enumerate(weight.shape) if at != axis)
    signs = feedback_signs(weight.size // outputs, outputs, key).T.reshape(outputs, *rest)
    return np.ascontiguousarray(np.moveaxis(signs, 0, axis) * np.float32(scale_of(layer, feedback_scale)))
