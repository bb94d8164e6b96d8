"""Back-propagation, the baseline for every memory and accuracy figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.ops import kind
from edgeff.ops.add import sum_of
from edgeff.ops.backward import walk_back
from edgeff.ops.building import Value
from edgeff.ops.window import Convolution
from edgeff.rules import Gradients, Rule, Run, Settings, register
from edgeff.rules._backward import ALL, BIAS, Activations, BackwardSettings, backward_settings, reached_from
from edgeff.rules._building import RuleBuilder


@register
class BackPropagation(Rule):
    """``d_L = o - t``, ``d_l = (d_{l+1} W_{l+1}) * relu'(z_l)``, ``g_l = d_l^T h_{l-1} / B`` (Rumelhart, Hinton & Williams 1986)."""

    values = True
    name = "bp"
    summary = "back-propagation, the baseline"
    source = "Rumelhart, Hinton & Williams 1986"
    stores = "all activations until the backward pass reaches them, or some (setting keep)"
    settings: Settings = BackwardSettings(relative_lr=0.3597, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.5755},
        "int16": {"relative_lr": 0.5755},
        "int8": {"relative_lr": 0.5755},
    }

    def learns(self, network: Network, *, head: bool = True, settings: Any = None) -> tuple[Layer, ...]:
        return backward_settings(settings).learning(network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """In int8 through convolutions: more room for logits, whose saturation stops learning (docs/adr/0038)."""
        room = super().headroom(network, settings, numeric)
        windowed = any(isinstance(layer.op, Convolution) for layer in network)
        return replace(room, output=16.0) if numeric == "int8" and windowed else room

    def carriers(self, run: Run, layer: Layer) -> Mapping[str, Array]:
        """The parameters that carry an error down through the layer: here its own."""
        return run.params.get(layer.name, {})

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        network, last, settings = run.network, run.last, backward_settings(run.settings)
        learning = settings.learning(network)
        h: dict[str, Array] = {"input": x}
        saved: dict[str, Any] = {}
        for layer in network:
            xs = tuple(h[name] for name in layer.inputs)
            h[layer.name], saved[layer.name] = kind(layer).forward_training(layer, run.params.get(layer.name, {}), *xs)
        gradients: Gradients = {}

        def through(layer: Layer, delta: Array, wanted: bool) -> tuple[Array, ...]:
            params, xs = self.carriers(run, layer), tuple(h[name] for name in layer.inputs)
            if layer is last:
                below = kind(layer).input_gradients(layer, params, delta, *xs) if wanted else ()
                own = kind(layer).weight_gradient(layer, params, delta, xs[0])
            else:
                below, own = kind(layer).backward(layer, params, delta, h[layer.name], xs, saved[layer.name], wanted=wanted)
            if layer in learning:
                gradients[layer.name] = own if settings.parameters == ALL else biases(layer, own)
            return below

        walk_back(network, last.name, h[network.layers[-1].name] - t, reached_from(network, learning), through, sum_of)
        return gradients

    def lower_below(self, build: RuleBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """Emits what the gated delta becomes on its way down, for each of the layer's inputs; returns the values."""
        return build.input_gradients(layer, delta, *xs)

    def lower(self, build: RuleBuilder) -> None:
        """The gradient passes a layer before its weights change, or reads a copy of them where that is smaller than a delta.

        Then the update comes first, and the gradient may lie over the delta. A bias, which no gradient reads, changes first.
        """
        settings, last = backward_settings(build.settings), build.network.trainable[-1]
        learning = settings.learning(build.network)
        first = build.run(build.x)
        error = build.error(first[build.layers[-1].name])
        h = Activations(build, first, settings.keep)

        def through(layer: Layer, delta: Value, wanted: bool) -> tuple[Value, ...]:
            xs = [h[name] for name in layer.inputs]
            if layer is not last:
                build.gate(delta, h[layer.name], layer)
            if layer in learning and settings.parameters == BIAS:
                build.update_bias(layer, delta)
            elif layer in learning and not wanted:
                build.update(layer, delta, xs[0])
            elif layer in learning and has_small_weight(build, layer, delta, xs[0]):
                with build.recomputing():
                    before = build.copy(build.weight(layer))
                build.update(layer, delta, xs[0])
                with build.reading_weight(layer, before):
                    return self.lower_below(build, layer, delta, *xs)
            elif layer in learning:
                below = self.lower_below(build, layer, delta, *xs)
                build.update(layer, delta, xs[0])
                return below
            return self.lower_below(build, layer, delta, *xs) if wanted else ()

        walk_back(build.network, last.name, error, reached_from(build.network, learning), through, build.sum)


def has_small_weight(build: RuleBuilder, layer: Layer, delta: Value, x: Value) -> bool:
    """Whether the weight takes fewer bytes than both the delta above a convolution and the gradient below it."""
    if not isinstance(layer.op, Convolution):
        return False
    return build.size_bytes(build.weight(layer)) < build.size_bytes(delta) // delta.elements * min(delta.elements, x.elements)


def biases(layer: Layer, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """The gradient of the bias, and batch statistics, alone."""
    return {name: value for name, value in gradients.items() if name == "bias" or name in kind(layer).moving}
