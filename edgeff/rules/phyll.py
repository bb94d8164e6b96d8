"""PhyLL: physical local learning. Fixed physical maps between trainable linear layers, contrasted by their cosine (Momeni et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.networks import reproduces_input
from edgeff.ops import Activations, kind
from edgeff.ops.dense import Dense
from edgeff.ops.label import Label, with_label
from edgeff.ops.physical import Physical, find_map
from edgeff.ops.reshape import Reshape
from edgeff.ops.softmax import Softmax
from edgeff.ops.standardise import EPS, Standardise
from edgeff.rules import Gradients, Rule, Run, Settings, register
from edgeff.rules._readout import fit_readout

SMALL = 1e-8


@dataclass(frozen=True)
class PhyllSettings(Settings):
    """``map``: ``speckle``, ``cavity``, ``oscillators`` or a function ``module:function`` (``edgeff.ops.physical``).

    ``expansion``: the outputs of a map, as a multiple of its inputs. ``theta``: the sharpness of the loss. ``on``: the value of the label's
    entry; ``neutral``: that of each entry for the head. ``predict``: ``probe`` or ``head``; the head is fitted after the last epoch:
    ``readout_epochs`` passes of Adam from the rate ``readout_lr``, with the share ``dropout`` of its inputs dropped.
    """

    map: str = "speckle"
    expansion: int = 4
    theta: float = 10.0
    on: float = 5.0
    neutral: float = 0.5
    predict: str = "probe"
    readout_epochs: int = 60
    readout_lr: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        find_map(self.map)
        if self.predict not in ("probe", "head"):
            raise BadInput("setting predict", got=repr(self.predict), allowed="probe, head")
        for name, low, high in (
            ("expansion", 1, 1000),
            ("theta", 0.0, 1e3),
            ("on", -1e3, 1e3),
            ("neutral", -1e3, 1e3),
            ("readout_lr", 0.0, 1e3),
            ("readout_epochs", 0, 100_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed=f"{low:g} to {high:g}")

    @property
    def searched(self) -> Mapping[str, float]:
        return {**super().searched, "theta": 4.0}


def _units(h: Array) -> tuple[Array, Array]:
    """h (B, n) scaled to length 1, and its original lengths (B, 1)."""
    length = np.sqrt(np.sum(h * h, axis=1, keepdims=True)) + np.asarray(SMALL, h.dtype)
    return h / length, length


@register
class Phyll(Rule):
    """Layer l: ``h_l = W_l standard(P_l(standard(h_{l-1}))) + b_l`` with P_l the fixed physical map; loss, layer by layer,
    ``log(1 + exp(theta cos(h+, h-)))`` between a sample with its label (+) and with a wrong one (-), written beside it.

    The trainable layer comes after its map, so its gradient is an outer product with the map's output: the map is only run forward
    and may be anything. Prediction probes all labels: the right one is the one whose h_l is least similar to the others', by the sum of
    cosines over all layers; or a softmax head reads the last hidden layer under the neutral label.

    Departures: labels beside the sample, not in place of pixels; the inputs and outputs of every map are standardised; the score of a label
    (the paper's loss compares pairs and leaves open how one label is scored).
    """

    name = "phyll"
    summary = "physical maps, never differentiated, between local linear layers"
    drops_out = True
    source = "Momeni, Rahmani, Mallejac, del Hougne & Fleury, Science 2023 (arXiv 2304.11042)"
    stores = "two layers' activations, of a right and a wrong label"
    settings: Settings = PhyllSettings(
        lr=0.003, momentum=0.0, batch=32, epochs=60, decay=0.3, decay_shares=(0.667, 0.867), optimiser="adam"
    )
    numerics: tuple[Numeric, ...] = ()
    why_not = "the physical map is a black box on the host, and no kernel computes it"

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with the label before its input, and a standardised physical map before each hidden layer.

        Hidden layers lose their activation function, since the map is the nonlinearity; their weights are drawn anew, to fit its outputs.
        """
        trainable = network.trainable
        if len(trainable) < 2:
            raise Unsupported("rule phyll", got="a network without a hidden layer", allowed="at least one hidden layer and the head")
        if kinds := sorted({layer.kind for layer in network if not isinstance(layer.op, Dense | Softmax | Reshape)}):
            raise Unsupported("rule phyll", got=f"layers of kind {', '.join(kinds)}", allowed="dense", next_step="use another rule")
        if reproduces_input(network):
            raise Unsupported("rule phyll", got="a network that reproduces its input", allowed="a classifier", next_step="use another rule")
        head, labels = trainable[-1], prod(network.layers[-1].shape)
        width = labels + prod(network.input_shape)
        layers = [Layer("label", Label(classes=labels, on=settings.on, neutral=settings.neutral), ("input",), (width,))]
        below, fresh = "label", np.random.default_rng([seed, 6])
        for number, layer in enumerate(trainable[:-1], 1):
            layers.append(Layer(f"{below}_std", Standardise(eps=EPS), (below,), layers[-1].shape))
            size = (settings.expansion * layers[-1].shape[0],)
            system = Physical(map=settings.map, seed=(1000 * seed + number) % 2**31)
            layers.append(Layer(f"physical_{number}", system, (f"{below}_std",), size))
            layers.append(Layer(f"physical_{number}_std", Standardise(eps=EPS), (f"physical_{number}",), size))
            limit = np.sqrt(6.0 / size[0])
            params = dict(layer.params) | {"weight": fresh.uniform(-limit, limit, (layer.shape[0], *size)).astype(np.float32)}
            linear = replace(layer, inputs=(f"physical_{number}_std",), params=params, op=kind(layer).replacing(activation="none"))
            layers.append(linear)
            below = layer.name
        layers.append(Layer(f"{below}_std", Standardise(eps=EPS), (below,), layers[-1].shape))
        layers.append(replace(head, inputs=(f"{below}_std",)))
        layers += network.layers[network.layers.index(head) + 1 :]
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        return not any(isinstance(layer.op, Physical) for layer in network)

    def _pass(self, run: Run, x: Array, labels: Array | None) -> Activations:
        """The activations up to the head's input, with the labels (B,) or the neutral one written in."""
        labels = np.full(len(x), -1) if labels is None else labels
        h: Activations = {"input": x}
        for layer in run.network.layers[: run.network.layers.index(run.last)]:
            below = h[layer.inputs[0]]
            params = run.params.get(layer.name, {})
            h[layer.name] = with_label(layer, below, labels) if isinstance(layer.op, Label) else kind(layer).forward(layer, params, below)
        return h

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        theta, classes, labels = run.settings.theta, t.shape[1], t.argmax(axis=1)
        key = step_key(stream_key(run.seed, "negative"), run.steps)
        other = (draws(key, np.arange(len(x))).astype(np.uint64) * np.uint64(classes - 1) >> np.uint64(32)).astype(np.int64)
        positive, negative = self._pass(run, x, labels), self._pass(run, x, other + (other >= labels))
        gradients: Gradients = {}
        for layer in run.hidden:
            (u, u_length), (v, v_length) = _units(positive[layer.name]), _units(negative[layer.name])
            cosine = np.sum(u * v, axis=1, keepdims=True)
            slope = 0.5 * theta * (1.0 + np.tanh(0.5 * theta * cosine))
            below, params = layer.inputs[0], run.params[layer.name]
            parts = [
                kind(layer).weight_gradient(layer, params, slope * (other - cosine * own) / length, h[below])
                for own, other, length, h in ((u, v, u_length, positive), (v, u, v_length, negative))
            ]
            gradients[layer.name] = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        if run.settings.predict == "head":
            read, last = self._pass(run, x, None)[run.last.inputs[0]], run.last
            gradients[last.name] = kind(last).weight_gradient(last, run.params[last.name], self._head(run, read) - t, read)
        return gradients

    def _head(self, run: Run, below: Array) -> Array:
        h = below
        for layer in run.network.layers[run.network.layers.index(run.last) :]:
            h = kind(layer).forward(layer, run.params.get(layer.name, {}), h)
        return h

    def finished(self, run: Run, x: Array, t: Array) -> None:
        """Fits the head to the last hidden layer under the neutral label, whichever way the rule predicts."""
        settings = run.settings
        if settings.readout_epochs:
            read = np.concatenate([self._pass(run, x[i : i + 1000], None)[run.last.inputs[0]] for i in range(0, len(x), 1000)])
            options = {"epochs": settings.readout_epochs, "lr": settings.readout_lr, "batch": settings.batch, "dropout": settings.dropout}
            fit_readout([run.params[run.last.name]], [read], t, softmax=kind(run.network.layers[-1]).probabilities, rng=run.rng, **options)

    def scores(self, run: Run, x: Array) -> Array:
        if run.settings.predict == "head":
            return self._head(run, self._pass(run, x, None)[run.last.inputs[0]])
        classes = prod(run.network.layers[-1].shape)
        passes = [self._pass(run, x, np.full(len(x), label)) for label in range(classes)]
        scores = np.zeros((len(x), classes), x.dtype)
        for layer in run.hidden:
            units = np.stack([_units(h[layer.name])[0] for h in passes], axis=1)
            scores -= np.sum(units * (units.sum(axis=1, keepdims=True) - units), axis=2)
        return scores
