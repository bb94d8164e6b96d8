"""Self-contrastive Forward-Forward: each layer learns, without labels, to tell a sample paired with itself from two different samples
paired with each other (Chen et al. 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.kernels.activation import NONE, RELU
from edgeff.ops import Activations, forward, kind
from edgeff.ops.add import Add
from edgeff.ops.dense import Dense
from edgeff.ops.standardise import EPS, Standardise
from edgeff.rules import Gradients, Rule, Run, Settings, register
from edgeff.rules._building import RuleBuilder
from edgeff.rules._readout import fit_readout

CHUNK = 1000


@dataclass(frozen=True)
class ScffSettings(Settings):
    """``theta_positive``, ``theta_negative``: the thresholds th1, th2 of the goodness; ``sparsity``: lambda. ``goodness``: over the
    channels of each ``place`` (the paper), each with a loss of its own, or over the whole ``sample``, which has one.

    ``readout``: the head reads the ``last`` hidden layer or ``all``. ``head_rate``: its learning rate, as a multiple of that of the other
    layers, while it learns beside them. On the host it is then fitted to the finished features: ``readout_epochs`` passes of Adam (0: not
    at all) from the rate ``readout_lr``, with the share ``dropout`` of the features dropped.
    """

    theta_positive: float = 8.0
    theta_negative: float = 12.0
    sparsity: float = 1e-4
    goodness: str = "place"
    readout: str = "last"
    head_rate: float = 1.0
    readout_epochs: int = 60
    readout_lr: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, words in (("readout", ("last", "all")), ("goodness", ("place", "sample"))):
            if getattr(self, name) not in words:
                raise BadInput(f"setting {name}", got=repr(getattr(self, name)), allowed=", ".join(words))
        for name, low, high in (
            ("theta_positive", 0.0, 1e3),
            ("theta_negative", 0.0, 1e3),
            ("sparsity", 0.0, 0.99),
            ("head_rate", 0.0, 1e3),
            ("readout_lr", 0.0, 1e3),
            ("readout_epochs", 0, 100_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed=f"{low:g} to {high:g}")

    @property
    def searched(self) -> Mapping[str, float]:
        return {**super().searched, "theta_positive": 4.0, "theta_negative": 4.0}


def _sigmoid(v: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * v)))


def hidden_layers(network: Network) -> tuple[Layer, ...]:
    """The layers with weights below other such layers: those that learn without labels. The rest are the read-outs."""
    below: set[str] = set()
    for layer in reversed(network.layers):
        if layer.trainable or layer.name in below:
            below.update(layer.inputs)
    return tuple(layer for layer in network.trainable if layer.name in below)


def _readouts(network: Network) -> tuple[Layer, ...]:
    hidden = {layer.name for layer in hidden_layers(network)}
    return tuple(layer for layer in network.trainable if layer.name not in hidden)


def _walk(network: Network) -> tuple[Layer, ...]:
    """The layers up to the last hidden one that do not belong to read-outs."""
    last = hidden_layers(network)[-1].name
    return replace(network, layers=network.layers[: [layer.name for layer in network].index(last) + 1]).upstream.layers


@register
class Scff(Rule):
    """Positive ``[z_i ; z_i]``, negative ``[z_i ; z_j]`` with j another sample, z the standardised input; the halves of the first layer's
    weights are tied, ``a = W (z_1 + z_2) + 2 b``. Goodness ``G = mean(relu(a)^2)`` over the channels of each position (or all values); loss
    ``softplus(th1 - G+) + softplus(G- - th2) + lambda G+``, averaged over the positions, layer by layer. The head, softmax regression on
    the last hidden layer or on all of them, standardised, is the only one that sees labels.

    With ``m = (z_1 + z_2) / 2``, ``a = 2 (W m + b)``: the pass of a pair is the pass of its mean, and ``G = 4 mean(h^2)`` for the layer's
    own output h; for a single sample the network has the paper's features except for a factor of 2 that standardisation removes. The
    direction is the loss's gradient times channels / 8, so that one learning rate serves every width. On a device, and for a mini-batch of
    one, j is the previous sample (at first a sample of zeros).

    Departures: ReLU everywhere, no triangle activation; all layers learn at once, with one pair of thresholds and G = 4 mean(h^2) in each,
    not one after the other with separate settings; both halves of a positive are one augmented view; L2, not decoupled, weight decay.
    """

    name = "scff"
    summary = "unsupervised, layer-local: a sample paired with itself or another"
    drops_out = True
    source = "Chen, Liu, Laydevant & Grollier, Nature Communications 2025 (arXiv 2409.11593)"
    stores = "two layers' activations, and the previous sample"
    digits_energy = 64.0 + 32.0
    settings: Settings = ScffSettings(lr=0.003, momentum=0.0, batch=32, epochs=60, decay=0.5, decay_shares=(0.5, 0.75), optimiser="adam")
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"lr": None, "relative_lr": 0.6, "head_rate": 4.0, "optimiser": "sgd"},
        "int16": {"lr": None, "relative_lr": 0.6, "head_rate": 4.0, "optimiser": "sgd"},
        "int8": {"lr": None, "relative_lr": 0.6, "head_rate": 4.0, "optimiser": "sgd"},
    }

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with ``standardise`` before every layer with weights and, for ``readout=all``, a read-out of each hidden layer.

        The read-outs' outputs are added to the head's.
        """
        _check(network)
        shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
        head = network.trainable[-1]
        rng = np.random.default_rng([seed, 5])
        layers: list[Layer] = []
        readouts: list[Layer] = []
        renamed: dict[str, str] = {}
        for layer in network:
            (below,) = layer.inputs
            source = renamed.get(below, below)
            if layer.trainable:
                source = f"{below}_std"
                layers.append(Layer(source, Standardise(eps=EPS), (renamed.get(below, below),), shapes[below]))
                if settings.readout == "all" and layer not in (network.trainable[0], head):
                    made = _readout(f"readout_{len(readouts) + 1}", source, prod(shapes[below]), head, rng)
                    readouts.append(made)
            layers.append(replace(layer, inputs=(source,)))
            if layer is head:
                total = head.name
                for number, made in enumerate(readouts, 1):
                    layers.append(made)
                    layers.append(Layer(f"sum_{number}", Add(), (total, made.name), head.shape))
                    total = f"sum_{number}"
                renamed[head.name] = total
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        return not any(isinstance(layer.op, Standardise) for layer in network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """Weights and activations grow until the goodness passes the threshold."""
        return Headroom(weights=6.0, hidden=6.0, output=16.0) if numeric == "int16" else Headroom(weights=3.0, hidden=4.0, output=8.0)

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        settings, network = run.settings, run.network
        hidden = hidden_layers(network)
        up = forward(network, run.params, x)
        first = network.layers[0].name
        down: Activations = {first: 0.5 * (up[first] + self._others(run, up[first]))}
        gradients: Gradients = {}
        for layer in _walk(network)[1:]:
            params = run.params.get(layer.name, {})
            down[layer.name] = kind(layer).forward(layer, params, *(down[name] for name in layer.inputs))
            if layer in hidden:
                rises = self._delta(settings, up[layer.name], settings.theta_positive, 1, settings.sparsity)
                falls = self._delta(settings, down[layer.name], settings.theta_negative, -1, 0.0)
                below = layer.inputs[0]
                parts = [kind(layer).weight_gradient(layer, params, d, h[below]) for d, h in ((rises, up), (falls, down))]
                gradients[layer.name] = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        error = settings.head_rate * (up[network.layers[-1].name] - t)
        for layer in _readouts(network):
            gradients[layer.name] = kind(layer).weight_gradient(layer, run.params[layer.name], error, up[layer.inputs[0]])
        return gradients

    def _others(self, run: Run, z: Array) -> Array:
        """Another sample for each: the batch rotated by a random number of places; for a batch of one the previous sample."""
        previous = run.extra.get("previous")
        run.extra["previous"] = z[-1:].copy()
        if len(z) > 1:
            return np.roll(z, int(run.rng.integers(1, len(z))), axis=0)
        return np.zeros_like(z) if previous is None else previous

    @staticmethod
    def _delta(settings: Any, h: Array, theta: float, sign: int, sparsity: float) -> Array:
        """channels / 8 times d loss / d h (B, .., channels) for one half of the loss."""
        over = -1 if settings.goodness == "place" else tuple(range(1, h.ndim))
        goodness = 4.0 * np.mean(h * h, axis=over, keepdims=True)
        slope = _sigmoid(sign * (theta - goodness))
        return (slope if sign < 0 else sparsity - slope) * h / np.asarray(prod(h.shape[1:-1]), h.dtype)

    def finished(self, run: Run, x: Array, t: Array) -> None:
        """Fits the read-outs to the features of all training samples, which are kept in memory: (n, features) float32."""
        settings, heads = run.settings, _readouts(run.network)
        if not settings.readout_epochs:
            return
        read = [np.empty((len(x), prod(run.network[head.inputs[0]].shape)), np.float32) for head in heads]
        for first in range(0, len(x), CHUNK):
            h = forward(run.network, run.params, x[first : first + CHUNK])
            for features, head in zip(read, heads, strict=True):
                features[first : first + CHUNK] = h[head.inputs[0]].reshape(-1, features.shape[1])
        fit_readout(
            [run.params[head.name] for head in heads],
            read,
            t.reshape(len(t), -1),
            epochs=settings.readout_epochs,
            lr=settings.readout_lr,
            batch=settings.batch,
            dropout=settings.dropout,
            softmax=kind(run.network.layers[-1]).probabilities,
            rng=run.rng,
        )

    # ---------------------------------------------------------------- on the device

    def lower(self, build: RuleBuilder) -> None:
        """The single sample's pass first, for the read-outs; then layer by layer the pair's, and both updates.

        Values of the first pass are kept until their layer has learned.
        """
        settings, network = build.settings, build.network
        hidden, up = hidden_layers(network), build.run(build.x)
        error = build.error(up[network.layers[-1].name])
        for layer in _readouts(network):
            build.update(layer, error, up[layer.inputs[0]], settings.head_rate)
        first = network.layers[0].name
        previous = build.kept("previous", up[first])
        down = {first: build.pair(up[first], previous)}
        build.keep(previous, up[first])
        for layer in _walk(network)[1:]:
            down[layer.name] = build.forward(layer, *(down[name] for name in layer.inputs))
            if layer in hidden:
                channels = layer.shape[-1] if settings.goodness == "place" else prod(layer.shape)
                rises = build.scff_delta(up[layer.name], channels, settings.theta_positive, 1, settings.sparsity)
                falls = build.scff_delta(down[layer.name], channels, settings.theta_negative, -1, 0.0)
                share, below = 1.0 / prod(layer.shape[:-1]), layer.inputs[0]
                build.update(layer, rises, up[below], share)
                build.update(layer, falls, down[below], share)


def _check(network: Network) -> None:
    """Raises Unsupported for a network that is not a chain of layers with ReLU ending in a dense head."""
    trainable = network.trainable
    if len(trainable) < 2:
        raise Unsupported("rule scff", got="a network without a hidden layer", allowed="at least one hidden layer and the head")
    if kinds := sorted({layer.kind for layer in trainable if not kind(layer).weighted}):
        allowed = "convolutions and dense layers"
        raise Unsupported("rule scff", got=f"layers of kind {', '.join(kinds)}", allowed=allowed, next_step="use another rule")
    read = [name for layer in network for name in layer.inputs]
    if len(read) != len(set(read)) or any(len(layer.inputs) != 1 for layer in network):
        raise Unsupported("rule scff", got="a network that branches", allowed="one layer after the other", next_step="use another rule")
    for layer in trainable[:-1]:
        if (function := kind(layer).function) not in (NONE, RELU):
            raise Unsupported(f"rule scff on layer {layer.name!r}", got=function.name, allowed="relu", next_step="train with ReLU")
    head, tail = trainable[-1], network.layers[network.layers.index(trainable[-1]) + 1 :]
    plain_head = isinstance(head.op, Dense) and not head.op.function.clamps
    if not plain_head or len(tail) > 1 or not all(kind(layer).probabilities for layer in tail):
        got = f"a head {head.kind} with {', '.join(layer.kind for layer in tail) or 'nothing'} after it"
        raise Unsupported("rule scff", got=got, allowed="a dense head without activation, and a softmax or nothing after it")


def _readout(name: str, source: str, features: int, head: Layer, rng: np.random.Generator) -> Layer:
    """A read-out of ``features`` like the head, drawn like a dense layer."""
    limit = np.sqrt(6.0 / features)
    params = {"weight": rng.uniform(-limit, limit, (head.shape[0], features)).astype(np.float32)}
    if "bias" in head.params:
        params["bias"] = np.zeros(head.shape[0], np.float32)
    return Layer(name, head.op, (source,), head.shape, params)
