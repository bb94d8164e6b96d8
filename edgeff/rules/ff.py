"""Forward-Forward: each layer learns to tell data with the right label from data with a wrong one (Hinton 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.kernels.arithmetic import step_key, stream_key
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.ops.label import Label
from edgeff.ops.normalise import Normalise
from edgeff.ops.parallel import slices
from edgeff.rules import Gradients, LayerScores, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._goodness import (
    goodness,
    likely_wrong,
    local_delta,
    macs_of,
    mixtures,
    parts,
    peer_pull,
    uniform_wrong,
)
from edgeff.rules._labelled import Labelled, prepared

LIFT = 0.1
"""The lift on a device, which learns for as long as it lives (docs/adr/0044-learning-for-years.md)."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "predict": ("probe", "head"),
    "goodness": ("mean", "sum"),
    "negatives": ("uniform", "hard", "mixed"),
    "probe_reads": ("all", "but_first"),
    "head_reads": ("last", "but_first"),
}


@dataclass(frozen=True)
class ForwardForwardSettings(Settings):
    """``theta``: the threshold of the mean squared activation. ``on``: the value of the label's entry; ``neutral``: that of each entry for
    the head.

    ``goodness``: the logistic function's input is the ``mean`` of the squares minus theta, or with ``sum`` n times that (Hinton).
    ``negatives``: wrong labels drawn ``uniform``, or ``hard``, in proportion to the head's softmax; or ``mixed``, no labels at all but
    mixtures of two samples. ``peer``: the strength of peer normalisation (Hinton: 0.03). ``lift`` is added to the activations in the
    gradient of positives, so that a unit that is off for all of them is drawn up until it is on again (not in the paper; 0: off stays
    off). ``predict``: ``probe`` or ``head``; ``probe_reads`` and ``head_reads``: which hidden layers each reads, ``all``, all
    ``but_first`` (Hinton) or the ``last``. ``head_rate``: the head's learning rate as a multiple of ``lr``; ``hidden_rate``: that of the
    hidden layers, 0 for the control.
    """

    theta: float = 2.0
    on: float = 1.0
    neutral: float = 0.1
    predict: str = "probe"
    head_rate: float = 10.0
    hidden_rate: float = 1.0
    goodness: str = "mean"
    negatives: str = "uniform"
    peer: float = 0.0
    lift: float = 0.0
    probe_reads: str = "all"
    head_reads: str = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise BadInput(f"setting {name}", got=repr(getattr(self, name)), allowed=", ".join(words))
        if not 0.0 < self.theta <= 1000.0:
            raise BadInput("setting theta", got=self.theta, allowed="above 0, at most 1000")
        if not 0.0 <= self.peer <= 1000.0:
            raise BadInput("setting peer", got=self.peer, allowed="0 to 1000")
        if not 0.0 <= self.hidden_rate <= 1000.0:
            raise BadInput("setting hidden_rate", got=self.hidden_rate, allowed="0 to 1000")
        if not 0.0 <= self.lift <= 10.0:
            raise BadInput("setting lift", got=self.lift, allowed="0 to 10")
        for name in ("on", "neutral"):
            if not -1000.0 <= getattr(self, name) <= 1000.0:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed="-1000 to 1000")
        if self.negatives == "mixed" and self.predict == "probe":
            raise BadInput("setting predict", got="probe with negatives=mixed", allowed="head: there is no label in the input to probe")

    @property
    def searched(self) -> Mapping[str, float]:
        return {**super().searched, "theta": 4.0}


@register
class ForwardForward(Rule):
    """Goodness ``G_l = mean(h_l^2)`` over units and places; loss ``n / 2 softplus(theta - G)`` on positive and ``n / 2 softplus(G -
    theta)`` on negative data, layer by layer; the factor, the number of units or channels, makes ``d loss / d h = -+sigmoid h`` (divided by
    the number of places), so one learning rate serves every width.

    The label is C extra inputs in front of the data, or C extra channels of an image; the negative carries another label. The next layer
    with weights sees ``h / (rms(h) + eps)``, after the pooling if any. Prediction probes all C labels and sums the goodness of the
    hidden layers, or a softmax head reads hidden layers of a neutral label. Departures: the label is written beside the image, not over its
    border; the first layer's input is normalised too; by default no peer normalisation, and the head reads the last hidden layer.
    """

    name = "ff"
    summary = "layer-local goodness of right and wrong labels"
    source = "Hinton 2022"
    digits_energy = 74.0 + 32.0
    settings: Settings = ForwardForwardSettings(relative_lr=0.25, batch=20, epochs=150, decay=0.3)
    device: Mapping[str, Mapping[str, Any]] = {
        numeric: {"relative_lr": rate, "theta": 2.0, "goodness": "mean", "negatives": "uniform", "peer": 0.0, "lift": LIFT}
        for numeric, rate in (("float32", 2.65), ("int16", 2.65), ("int8", 1.325))
    }

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with ``label`` and ``normalise`` before its first layer, and ``normalise`` before every other layer with weights.

        The first layer gets weights for the label, drawn like its others; with ``head_reads="but_first"`` the head gets a part for each
        hidden layer it reads, and their sums.
        """
        return prepared(network, settings, seed)

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        return not any(isinstance(layer.op, Normalise) for layer in network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """Goodness grows until it is around theta, so weights and hidden activations need more room than with other rules."""
        return Headroom(weights=6.0, hidden=8.0, output=16.0) if numeric == "int16" else Headroom(weights=3.0, hidden=4.0, output=6.0)

    def start(self, run: Run) -> None:
        run.extra["parts"] = parts(run.network)
        if run.settings.peer:
            hidden = run.extra["parts"].hidden
            run.extra["peers"] = {layer.name: np.zeros(layer.shape[-1], run.params[layer.name]["weight"].dtype) for layer in hidden}

    # ---------------------------------------------------------------- on the host

    def _forward(self, run: Run, layers: tuple[Layer, ...], h: dict[str, Any], labels: Array) -> None:
        """The activations of ``layers``, added to h; labels (k B,) make k copies of the rows, a negative one is neutral."""
        for layer in layers:
            x, params = h[layer.inputs[0]], run.params.get(layer.name, {})
            if isinstance(layer.op, Label):
                h[layer.name] = Labelled.of(layer, x, labels)
            elif isinstance(x, Labelled):
                h[layer.name] = x.through(layer, params)
            else:
                h[layer.name] = kind(layer).forward(layer, params, *(h[name] for name in layer.inputs))

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        """Positives, negatives and (for the head) neutral samples go through as one batch; hard negatives need the head first."""
        settings, part, count = run.settings, run.extra.get("parts") or parts(run.network), len(x)
        labels, none = t.argmax(axis=1), np.full(len(x), -1)
        key = step_key(stream_key(run.seed, "negative"), run.steps)
        if settings.negatives == "hard":
            neutral = {"input": x}
            self._forward(run, part.below + part.above, neutral, none)
            h = {"input": x}
            self._forward(run, part.below, h, np.concatenate([labels, likely_wrong(key, labels, neutral[run.network.layers[-1].name])]))
        else:
            if settings.negatives == "mixed":
                h, rows = {"input": np.concatenate([x, mixtures(x, run.rng)])}, slice(count)
                self._forward(run, part.below, h, none)
            else:
                h, rows = {"input": x}, slice(2 * count, None)
                self._forward(run, part.below, h, np.concatenate([labels, uniform_wrong(key, labels, t.shape[1]), none]))
            neutral = {name: values[rows] for name, values in h.items() if name != "input"}
            self._forward(run, part.above, neutral, none)
        gradients: Gradients = {}
        for layer in part.hidden:
            y = h[layer.name][: 2 * count]
            delta = local_delta(y, settings.theta, y.shape[-1] if settings.goodness == "sum" else 1, settings.lift)
            if settings.peer:
                delta[:count] += peer_pull(run.extra["peers"][layer.name], y[:count], settings.peer)
            if settings.hidden_rate != 1.0:
                delta *= np.asarray(settings.hidden_rate, delta.dtype)
            seen, params = h[layer.inputs[0]][: 2 * count], run.params[layer.name]
            if isinstance(seen, Labelled):
                gradients[layer.name] = seen.weight_gradient(delta, params)
            else:
                gradients[layer.name] = kind(layer).weight_gradient(layer, params, delta, seen)
        error = np.asarray(settings.head_rate, x.dtype) * (neutral[run.network.layers[-1].name] - t)
        for head in part.heads:
            gradients[head.name] = kind(head).weight_gradient(head, run.params[head.name], error, neutral[head.inputs[0]])
        return gradients

    def scores(self, run: Run, x: Array) -> Array:
        if run.settings.predict == "head":
            return super().scores(run, x)
        scores = np.zeros((len(x), prod(run.network.layers[-1].shape)), x.dtype)
        for part in slices(len(x), -(-len(x) // scores.shape[1])):  # under all labels no more rows than x has
            *_, (_, scores[part], _) = self._layer_scores(run, x[part])
        return scores

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores] | None:
        """When probing: the sums of goodness after each hidden layer that is read, with all labels in parallel."""
        return None if run.settings.predict == "head" else self._layer_scores(run, x)

    def _layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores]:
        below, read = self._probed(run.network, run.settings)
        classes = prod(run.network.layers[-1].shape)
        h, labels, macs = {"input": x}, np.repeat(np.arange(classes), len(x)), 0
        scores = np.zeros((len(x), classes), x.dtype)
        for layer in below:
            self._forward(run, (layer,), h, labels)
            h = {layer.name: h[layer.name]}
            macs += classes * macs_of(layer)
            if layer in read:
                scores = scores + goodness(h[layer.name]).reshape(classes, -1).T
                macs += classes * prod(layer.shape)
                yield LayerScores(layer.name, scores, macs)

    def _probed(self, network: Network, settings: Any) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
        """The layers to go through when probing, and those whose goodness counts."""
        part = parts(network)
        skipped = 1 if settings.probe_reads == "but_first" and len(part.hidden) > 1 else 0
        return part.below, part.hidden[skipped:]

    # ---------------------------------------------------------------- on the device

    def lower_predict(self, build: RuleBuilder) -> Value:
        if build.target == "input":
            raise Unsupported("rule ff", got="a network that reproduces its input", allowed="a classifier", next_step="use another rule")
        if build.settings.predict == "head":
            return build.run(build.x)[build.layers[-1].name]
        below, read = self._probed(build.network, build.settings)
        build.at_most(build.numeric, 16, len(read), "the sum of the hidden layers' goodness")
        classes = prod(build.layers[-1].shape)
        scores = build.scores(classes)
        number = build.class_number(0)
        for label in range(classes):
            if label:
                build.class_number(label, into=number)
            h = build.x
            for layer in below:
                h = build.embed(layer, h, number) if isinstance(layer.op, Label) else build.forward(layer, h)
                if layer in read:
                    build.goodness(scores, h, label, add=layer is not read[0])
        return scores

    def lower(self, build: RuleBuilder) -> None:
        """The head first, where it predicts; then layer by layer both activations with the old weights and both updates."""
        settings, part = build.settings, parts(build.network)
        for name, value in (("goodness", "mean"), ("negatives", "uniform"), ("peer", 0.0)):
            if getattr(settings, name) != value:
                raise Unsupported(
                    f"{name} of rule ff on a device", got=getattr(settings, name), allowed=value, next_step=f"--set {name}={value}"
                )
        if not any(isinstance(layer.op, Label) for layer in part.below):
            raise Unsupported(
                "rule ff on a device", got="a network without a label input", allowed="one trained with negatives=uniform or hard"
            )
        if settings.predict == "head":
            h = build.run(build.x)
            error = build.error(h[build.layers[-1].name])
            for head in part.heads:
                build.update(head, error, h[head.inputs[0]], settings.head_rate)
        if not settings.hidden_rate:
            return
        wrong = build.wrong_label(prod(build.layers[-1].shape))
        positive = negative = build.x
        for layer in part.below:
            if isinstance(layer.op, Label):
                positive, negative = build.embed(layer, build.x, build.label), build.embed(layer, build.x, wrong)
                continue
            up, down = build.forward(layer, positive), build.forward(layer, negative)
            if layer.trainable:
                delta_up, delta_down = build.ff_delta(up, settings.theta, 1, settings.lift), build.ff_delta(down, settings.theta, -1)
                factor = settings.hidden_rate / prod(layer.shape[:-1])
                build.update(layer, delta_up, positive, factor)
                build.update(layer, delta_down, negative, factor)
            positive, negative = up, down
