"""Forward-Forward: each layer learns to tell data with the right label from data with a wrong one (Hinton 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.layers import kind
from edgeff.layers.label import with_label
from edgeff.rules import Gradients, Rule, Run, Settings, register

EPS = 1e-4


@dataclass(frozen=True)
class ForwardForwardSettings(Settings):
    """``theta``: the threshold of the mean squared activation. ``on``: the label's entry; ``neutral``: each entry for the head.

    ``predict``: ``probe`` or ``head``. ``head_rate``: the head's learning rate as a multiple of the others'.
    """

    theta: float = 20.0
    on: float = 1.0
    neutral: float = 0.1
    predict: str = "probe"
    head_rate: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predict not in ("probe", "head"):
            raise BadInput("setting predict", got=repr(self.predict), allowed="probe, head")
        if not 0.0 < self.theta <= 1000.0:
            raise BadInput("setting theta", got=self.theta, allowed="above 0, at most 1000")
        for name in ("on", "neutral"):
            if not -1000.0 <= getattr(self, name) <= 1000.0:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed="-1000 to 1000")


def _sigmoid(v: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * v)))


@register
class ForwardForward(Rule):
    """Goodness ``G_l = mean(h_l^2)``; loss ``n / 2 softplus(theta - G)`` on positive and ``n / 2 softplus(G - theta)`` on negative data,
    layer by layer; the factor makes ``d loss / d h = -+sigmoid h``, so one learning rate serves every width n.

    The label is C more inputs before the data; the negative carries another label, drawn uniformly. The next layer sees
    ``h / (rms(h) + eps)``. Prediction probes all C labels and sums the goodness of every hidden layer, or a softmax head reads the last
    hidden layer of a neutral label. Departures: the label is written beside the image, not over its border; the first layer's input is
    normalised too; the head reads the last hidden layer only; no peer normalisation.
    """

    name = "ff"
    summary = "layer-local goodness of right and wrong labels"
    source = "Hinton 2022"
    settings: Settings = ForwardForwardSettings(lr=0.0025, batch=20, epochs=150, decay=0.3, decay_epochs=(90, 135))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"lr": 0.02, "theta": 2.0},
        "int16": {"lr": 0.02, "theta": 2.0},
        "int8": {"lr": 0.02, "theta": 2.0},
    }

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with ``label`` and ``normalise`` before its first layer, and ``normalise`` behind every hidden one.

        The first layer gets a column a class, drawn as its others were.
        """
        if len(network.trainable) < 2:
            raise Unsupported("rule ff", got="a network without a hidden layer", allowed="at least one hidden layer and the head")
        if kinds := sorted({layer.op for layer in network.trainable} - {"dense"}):
            raise Unsupported("rule ff", got=f"layers of kind {', '.join(kinds)}", allowed="dense", next_step="use another rule")
        classes, inputs = prod(network.layers[-1].shape), prod(network.input_shape)
        attrs = {"classes": classes, "on": settings.on, "neutral": settings.neutral}
        layers = [
            Layer("label", "label", ("input",), (classes + inputs,), attrs),
            Layer("label_norm", "normalise", ("label",), (classes + inputs,), {"eps": EPS}),
        ]
        renamed = {"input": "label_norm"}
        for layer in network:
            params = dict(layer.params)
            if layer is network.trainable[0]:
                limit = np.sqrt(6.0 / (classes + inputs))
                columns = np.random.default_rng([seed, 4]).uniform(-limit, limit, (len(params["weight"]), classes))
                params["weight"] = np.concatenate([columns.astype(np.float32), params["weight"]], axis=1)
            layers.append(replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs), params=params))
            if layer.trainable and layer is not network.trainable[-1]:
                renamed[layer.name] = f"{layer.name}_norm"
                layers.append(Layer(f"{layer.name}_norm", "normalise", (layer.name,), layer.shape, {"eps": EPS}))
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network) -> bool:
        return not any(layer.op == "label" for layer in network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """Goodness grows until it stands around theta, so weights and hidden activations need more room than with other rules."""
        return Headroom(weights=6.0, hidden=8.0, output=16.0) if numeric == "int16" else Headroom(weights=3.0, hidden=4.0, output=6.0)

    def _hidden_pass(self, run: Run, x: Array, labels: Array | None) -> dict[str, Array]:
        """The activations up to the head's input, with the labels (B,) or the neutral one written in."""
        h = {"input": x}
        for layer in run.network:
            if layer is run.last:
                break
            below = h[layer.inputs[0]]
            is_label = layer.op == "label"
            h[layer.name] = (
                with_label(layer, below, labels) if is_label else kind(layer).forward(layer, run.params.get(layer.name, {}), below)
            )
        return h

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        settings, classes = run.settings, t.shape[1]
        labels = t.argmax(axis=1)
        key = step_key(stream_key(run.seed, "negative"), run.steps)
        other = (draws(key, np.arange(len(x))).astype(np.uint64) * np.uint64(classes - 1) >> np.uint64(32)).astype(np.int64)
        positive = self._hidden_pass(run, x, labels)
        negative = self._hidden_pass(run, x, other + (other >= labels))
        gradients: Gradients = {}
        for layer in run.hidden:
            parts = []
            for h, sign in ((positive, 1.0), (negative, -1.0)):
                y = h[layer.name]
                goodness = np.mean(y * y, axis=1, keepdims=True)
                delta = -sign * _sigmoid(sign * (settings.theta - goodness)) * y
                parts.append(kind(layer).weight_gradient(layer, run.params[layer.name], delta, h[layer.inputs[0]]))
            gradients[layer.name] = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        below = self._hidden_pass(run, x, None)[run.last.inputs[0]]
        gradients[run.last.name] = kind(run.last).weight_gradient(
            run.last, run.params[run.last.name], settings.head_rate * (self._head(run, below) - t), below
        )
        return gradients

    def _head(self, run: Run, below: Array) -> Array:
        h = below
        for layer in run.network.layers[run.network.layers.index(run.last) :]:
            h = kind(layer).forward(layer, run.params.get(layer.name, {}), h)
        return h

    def scores(self, run: Run, x: Array) -> Array:
        classes = prod(run.network.layers[-1].shape)
        if run.settings.predict == "head":
            return self._head(run, self._hidden_pass(run, x, None)[run.last.inputs[0]])
        scores = np.zeros((len(x), classes))
        for label in range(classes):
            h = self._hidden_pass(run, x, np.full(len(x), label))
            scores[:, label] = sum(np.mean(h[layer.name] ** 2, axis=1) for layer in run.hidden)
        return scores

    # ---------------------------------------------------------------- on the device

    def _walk(self, build: Any) -> list[Layer]:
        """The layers before the head, the last normalisation left out unless the head reads it."""
        last = build.network.trainable[-1]
        walked = list(build.layers[: build.layers.index(last)])
        return walked if build.settings.predict == "head" else walked[:-1]

    def _classes(self, build: Any) -> int:
        return prod(build.layers[-1].shape)

    def lower_predict(self, build: Any) -> Any:
        if build.target == "input":
            raise Unsupported("rule ff", got="a network that reproduces its input", allowed="a classifier", next_step="use another rule")
        build.at_most(16, len([layer for layer in self._walk(build) if layer.trainable]), "the sum of the hidden layers' goodness")
        if build.settings.predict == "head":
            return build.run(build.x)[build.layers[-1].name]
        classes = self._classes(build)
        scores = build.scores(classes)
        number = build.class_number(0)
        for label in range(classes):
            if label:
                build.class_number(label, into=number)
            h, first = build.x, True
            for layer in self._walk(build):
                h = build.embed(layer, h, number) if layer.op == "label" else build.forward(layer, h)
                if layer.trainable:
                    build.goodness(scores, h, label, add=not first)
                    first = False
        return scores

    def lower(self, build: Any) -> None:
        """The head first, where it predicts; then layer by layer both activations with the old weights and both updates."""
        settings = build.settings
        if settings.predict == "head":
            h = build.run(build.x)
            last = build.network.trainable[-1]
            build.update(last, build.error(h[build.layers[-1].name]), h[last.inputs[0]], settings.head_rate)
        wrong = build.wrong_label(self._classes(build))
        positive = negative = build.x
        for layer in self._walk(build):
            if layer.op == "label":
                positive, negative = build.embed(layer, build.x, build.label), build.embed(layer, build.x, wrong)
                continue
            up, down = build.forward(layer, positive), build.forward(layer, negative)
            if layer.trainable:
                delta_up, delta_down = build.ff_delta(up, settings.theta, 1), build.ff_delta(down, settings.theta, -1)
                build.update(layer, delta_up, positive)
                build.update(layer, delta_down, negative)
            positive, negative = up, down
