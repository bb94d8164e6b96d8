"""Forward-Forward: each layer learns to tell data with the right label from data with a wrong one (Hinton 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.layers import kind
from edgeff.rules import Gradients, Rule, Run, Settings, register


@dataclass(frozen=True)
class ForwardForwardSettings(Settings):
    """``theta`` the threshold of the mean squared activation; ``on`` what the label's entry is set to, ``neutral`` each entry for the head; ``predict`` ``probe`` or ``head``."""

    theta: float = 20.0
    on: float = 1.0
    neutral: float = 0.1
    predict: str = "probe"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predict not in ("probe", "head"):
            raise BadInput("setting predict", got=repr(self.predict), allowed="probe, head")
        if not 0.0 < self.theta <= 1000.0:
            raise BadInput("setting theta", got=self.theta, allowed="above 0, at most 1000")


def embed(x: Array, labels: Array, classes: int, on: float) -> Array:
    """A copy of x (B, D) with the labels (B,) one-hot in the first ``classes`` entries."""
    flat = np.array(x).reshape(len(x), -1)
    flat[:, :classes] = 0.0
    flat[np.arange(len(x)), labels] = on
    return flat


def embed_neutral(x: Array, classes: int, neutral: float) -> Array:
    """A copy of x (B, D) with ``neutral`` in the first ``classes`` entries."""
    flat = np.array(x).reshape(len(x), -1)
    flat[:, :classes] = neutral
    return flat


def _sigmoid(v: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * v)))


@register
class ForwardForward(Rule):
    """Goodness ``G_l = mean(h_l^2)``; loss ``n / 2 softplus(theta - G)`` on positive and ``n / 2 softplus(G - theta)`` on negative data,
    layer by layer; the factor makes ``d loss / d h = -+sigmoid h``, so one learning rate serves every width n.

    The label is written over the first C inputs; the negative carries another label, drawn uniformly. The next layer sees ``h / (rms(h) + eps)``.
    Prediction probes all C labels and sums the goodness of every hidden layer, or a softmax head reads the last hidden layer of a neutral label.
    Departures: the first layer's input is normalised too; the head reads the last hidden layer only; no peer normalisation.
    """

    name = "ff"
    summary = "layer-local goodness of right and wrong labels"
    source = "Hinton 2022"
    settings: Settings = ForwardForwardSettings(lr=0.0025, batch=20, epochs=150, decay=0.3, decay_epochs=(90, 135))
    device = {
        "float32": {"lr": 0.02, "theta": 2.0},
        "int16": {"lr": 0.02, "theta": 2.0},
        "int8": {"lr": 0.02, "theta": 2.0},
    }

    def prepare(self, network: Network) -> Network:
        """The network with a ``normalise`` layer before the first layer and behind every hidden trainable one."""
        renamed = {"input": "input_norm"}
        layers = [Layer("input_norm", "normalise", ("input",), network.input_shape, {"eps": 1e-4})]
        for layer in network:
            inputs = tuple(renamed.get(name, name) for name in layer.inputs)
            layers.append(replace(layer, inputs=inputs))
            if layer.trainable and layer is not network.trainable[-1]:
                name = f"{layer.name}_norm"
                layers.append(Layer(name, "normalise", (layer.name,), layer.shape, {"eps": 1e-4}))
                renamed[layer.name] = name
        if len(network.trainable) < 2:
            raise Unsupported("rule ff", got="a network without a hidden layer", allowed="at least one hidden layer and the head")
        if prod(network.layers[-1].shape) > prod(network.input_shape):
            raise Unsupported("rule ff", got=f"{prod(network.layers[-1].shape)} classes", allowed=f"as many as inputs ({prod(network.input_shape)})")
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network) -> bool:
        return not any(layer.op == "normalise" for layer in network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """Goodness grows until it stands around theta, so weights and hidden activations need more room than with other rules."""
        return Headroom(weights=6.0, hidden=8.0, output=16.0) if numeric == "int16" else Headroom(weights=3.0, hidden=4.0, output=6.0)

    def _hidden_pass(self, run: Run, x: Array) -> dict[str, Array]:
        """The activations up to the head's input."""
        h = {"input": x}
        for layer in run.network:
            if layer is run.last:
                break
            h[layer.name] = kind(layer).forward(layer, run.params.get(layer.name, {}), h[layer.inputs[0]])
        return h

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        settings, classes = run.settings, t.shape[1]
        labels = t.argmax(axis=1)
        key = step_key(stream_key(run.seed, "negative"), run.steps)
        other = (draws(key, np.arange(len(x))).astype(np.uint64) * np.uint64(classes - 1) >> np.uint64(32)).astype(np.int64)
        positive = self._hidden_pass(run, embed(x, labels, classes, settings.on))
        negative = self._hidden_pass(run, embed(x, other + (other >= labels), classes, settings.on))
        gradients: Gradients = {}
        for layer in run.hidden:
            parts = []
            for h, sign in ((positive, 1.0), (negative, -1.0)):
                y = h[layer.name]
                goodness = np.mean(y * y, axis=1, keepdims=True)
                delta = -sign * _sigmoid(sign * (settings.theta - goodness)) * y
                parts.append(kind(layer).weight_gradient(layer, run.params[layer.name], delta, h[layer.inputs[0]]))
            gradients[layer.name] = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        below = self._hidden_pass(run, embed_neutral(x, classes, settings.neutral))[run.last.inputs[0]]
        gradients[run.last.name] = kind(run.last).weight_gradient(run.last, run.params[run.last.name], self._head(run, below) - t, below)
        return gradients

    def _head(self, run: Run, below: Array) -> Array:
        h = below
        for layer in run.network.layers[run.network.layers.index(run.last) :]:
            h = kind(layer).forward(layer, run.params.get(layer.name, {}), h)
        return h

    def scores(self, run: Run, x: Array) -> Array:
        classes = prod(run.network.layers[-1].shape)
        if run.settings.predict == "head":
            return self._head(run, self._hidden_pass(run, embed_neutral(x, classes, run.settings.neutral))[run.last.inputs[0]])
        scores = np.zeros((len(x), classes))
        for label in range(classes):
            h = self._hidden_pass(run, embed(x, np.full(len(x), label), classes, run.settings.on))
            scores[:, label] = sum(np.mean(h[layer.name] ** 2, axis=1) for layer in run.hidden)
        return scores

    # ---------------------------------------------------------------- on the device

    def _walk(self, build: Any) -> list[Layer]:
        """The layers before the head, the last normalisation left out unless the head reads it."""
        last = [layer for layer in build.layers if layer.trainable][-1]
        walked = list(build.layers[: build.layers.index(last)])
        return walked if build.settings.predict == "head" else walked[:-1]

    def _classes(self, build: Any) -> int:
        return prod(build.layers[-1].shape)

    def lower_predict(self, build: Any) -> Any:
        settings, classes = build.settings, self._classes(build)
        number = build.class_number(-1 if settings.predict == "head" else 0)
        if settings.predict == "head":
            build.embed(build.x, number, classes, settings.on, settings.neutral)
            return build.run(build.x)[build.layers[-1].name]
        scores = build.scores(classes)
        for label in range(classes):
            if label:
                build.class_number(label, into=number)
            build.embed(build.x, number, classes, settings.on, settings.neutral)
            h, first = build.x, True
            for layer in self._walk(build):
                h = build.forward(layer, h)
                if layer.trainable:
                    build.goodness(scores, h, label, add=not first)
                    first = False
        return scores

    def lower(self, build: Any) -> None:
        """The head first, where it predicts; then layer by layer both activations with the old weights and both updates.

        The input is written over with each label in turn, so no copy of it is kept.
        """
        settings, classes = build.settings, self._classes(build)
        if settings.predict == "head":
            build.embed(build.x, build.class_number(-1), classes, settings.on, settings.neutral)
            h = build.run(build.x)
            last = [layer for layer in build.layers if layer.trainable][-1]
            build.update(last, build.error(h[build.layers[-1].name]), h[last.inputs[0]])
        wrong = build.wrong_label(classes)
        positive = negative = build.x
        for layer in self._walk(build):
            if layer.inputs[0] == "input":
                build.embed(build.x, build.label, classes, settings.on, settings.neutral)
            up = build.forward(layer, positive)
            if layer.inputs[0] == "input":
                build.embed(build.x, wrong, classes, settings.on, settings.neutral)
            down = build.forward(layer, negative)
            if layer.trainable:
                delta_up, delta_down = build.ff_delta(up, settings.theta, 1), build.ff_delta(down, settings.theta, -1)
                build.update(layer, delta_up, positive)
                build.update(layer, delta_down, negative)
            positive, negative = up, down
