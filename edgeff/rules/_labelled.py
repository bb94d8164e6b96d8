"""A plain network prepared for goodness: the label before its inputs, normalisation before its weights, a head on its hidden layers.

Also the passes of its first layers under many labels at the cost of one (``Labelled``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.kernels.activation import RELU
from edgeff.ops import Operator, kind, record
from edgeff.ops.add import Add
from edgeff.ops.dense import Dense
from edgeff.ops.label import Label, with_label
from edgeff.ops.normalise import Normalise
from edgeff.ops.parallel import empty, outer_sum, product

EPS = 1e-4


def check(network: Network) -> None:
    """Raises Unsupported unless the network can learn by goodness: a chain of layers with ReLU and a dense head, no normalisation."""
    first, *_, head = network.trainable if len(network.trainable) > 1 else (None, None)
    if first is None or head is None:
        raise Unsupported("rule ff", got="a network without a hidden layer", allowed="at least one hidden layer and the head")
    refused = sorted({layer.kind for layer in network if not _takes_part(kind(layer))})
    if refused or not isinstance(head.op, Dense) or kind(first).channelwise or first.inputs != ("input",):
        got = f"layers of kind {', '.join(refused)}" if refused else f"{first.kind} first, after {first.inputs[0]}, and {head.kind} last"
        allowed = "a chain of layers with weights, pools, reshapes and a softmax: weights first (not depthwise), a dense head last"
        raise Unsupported("rule ff", got=got, allowed=allowed, next_step="use another rule")
    for layer in network.trainable[:-1]:
        if (function := kind(layer).function) is not RELU:
            raise Unsupported(f"rule ff, layer {layer.name!r}", got=f"activation {function.name}", allowed=RELU.name)


def _takes_part(op: Operator) -> bool:
    """Whether an operator is allowed in a chain that learns by goodness: with weights, keeping outputs positive, or the softmax."""
    return op.weighted or op.keeps_sign or op.probabilities


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> Array:
    """``U(+-sqrt(6 / fan_in))``, as for the layers' own weights."""
    limit = np.sqrt(6.0 / fan_in)
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def prepared(network: Network, settings: Any, seed: int) -> Network:
    """``network`` with ``label`` (unless ``negatives`` are ``mixed``) and ``normalise`` first, and ``normalise`` before all other layers
    with weights.

    The first layer gets weights for the label in front of its others. With ``head_reads="but_first"`` the head gets another part for each
    hidden layer between the first and the last, and their sums.
    """
    check(network)
    classes, shape = prod(network.layers[-1].shape), network.input_shape
    layers: list[Layer] = []
    below = "input"
    if settings.negatives != "mixed":
        flat = isinstance(network.trainable[0].op, Dense)
        shape = (classes + prod(shape),) if flat else (*shape[:-1], classes + shape[-1])
        layers.append(Layer("label", Label(classes=classes, on=settings.on, neutral=settings.neutral), (below,), shape))
        below = "label"
    layers.append(Layer(f"{below}_norm", Normalise(eps=EPS), (below,), shape))
    renamed = {"input": layers[-1].name}
    shapes = {layer.name: layer.shape for layer in network}
    read: list[str] = []
    for layer in network:
        source = layer.inputs[0]
        if layer.trainable and source != "input":
            layers.append(Layer(f"{source}_norm", Normalise(eps=EPS), (source,), shapes[source]))
            renamed[source] = layers[-1].name
            read.append(renamed[source])
        params = _with_label_weights(layer, classes, seed) if layer is network.trainable[0] and below == "label" else layer.params
        layers.append(replace(layer, inputs=(renamed.get(source, source),), params=params))
        if layer is network.trainable[-1] and settings.head_reads == "but_first":
            parts = _more_heads(layer, read[1:-1], layers, seed)
            layers += parts
            renamed[layer.name] = layers[-1].name
    return replace(network, layers=tuple(layers))


def _with_label_weights(layer: Layer, classes: int, seed: int) -> Mapping[str, Array]:
    """The first layer's parameters with weights (..., classes) in front on its last axis, the inputs or input channels."""
    weight = layer.params["weight"]
    shape = (*weight.shape[:-1], classes)
    columns = _uniform(np.random.default_rng([seed, 4]), shape, prod(weight.shape[1:-1]) * (classes + weight.shape[-1]))
    return {**layer.params, "weight": np.concatenate([columns, weight], axis=-1)}


def _more_heads(head: Layer, sources: list[str], layers: list[Layer], seed: int) -> list[Layer]:
    """Linear readers of ``sources``, each followed by its sum with the previous one; the first adds to ``head``."""
    rng, heads, total = np.random.default_rng([seed, 5]), list[Layer](), head.name
    sizes = {layer.name: prod(layer.shape) for layer in layers}
    for source in sources:
        weight = _uniform(rng, (head.shape[0], sizes[source]), sizes[source])
        part = Layer(f"{head.name}_{source}", Dense(), (source,), head.shape, {"weight": weight})
        heads += [part, Layer(f"{part.name}_sum", Add(), (total, part.name), head.shape)]
        total = heads[-1].name
    return heads


@dataclass(frozen=True)
class Labelled:
    """The input of a dense layer from x (B, D) under labels (k B,): the rows ``[label, x] / length``, never stored.

    Weights are multiplied by x once for all k copies, and so is their gradient. ``length`` is (k B, 1).
    """

    layer: Layer
    x: Array
    labels: Array
    length: Array

    @classmethod
    def of(cls, layer: Layer, x: Array, labels: Array) -> Labelled | Array:
        """The output of a ``label`` layer; an image is stored in full."""
        if len(layer.shape) > 1:
            return with_label(layer, x, labels)
        return cls(layer, x.reshape(len(x), -1), labels, np.ones((len(labels), 1), x.dtype))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Labelled:
        """Some of the copies of x: ``rows`` begins and ends at copy boundaries."""
        return replace(self, labels=self.labels[rows], length=self.length[rows])

    @property
    def entries(self) -> Array:
        """(classes + 1, classes): the label's entries, the neutral one's last."""
        return record(self.layer, Label).entries(self.x.dtype)

    def through(self, layer: Layer, params: Mapping[str, Array]) -> Labelled | Array:
        """The output of ``layer``, a normalisation or a dense layer, of these rows."""
        if isinstance(layer.op, Normalise):
            squares = np.einsum("bn,bn->b", self.x, self.x) + (self.entries**2).sum(axis=1)[self.labels].reshape(-1, len(self.x))
            rms = np.sqrt(squares / self.x.dtype.type(self.layer.shape[0])).reshape(-1, 1)
            return replace(self, length=rms + self.x.dtype.type(layer.op.eps))
        classes, weight = self.entries.shape[1], params["weight"]
        y = empty((len(self), len(weight)), self.x.dtype)
        np.take(self.entries @ weight[:, :classes].T, self.labels, axis=0, out=y, mode="wrap")
        y.reshape(-1, len(self.x), len(weight))[:] += product(self.x, weight[:, classes:].T)
        y /= self.length
        if "bias" in params:
            y += params["bias"]
        return kind(layer).function.apply(y)

    def weight_gradient(self, delta: Array, params: Mapping[str, Array]) -> dict[str, Array]:
        """``delta^T rows / (k B)`` for delta (k B, n_out) of a dense layer, and its bias' gradient."""
        classes = self.entries.shape[1]
        share = delta / (self.length * len(self))
        gradient = np.empty((delta.shape[1], classes + self.x.shape[1]), delta.dtype)
        gradient[:, :classes] = share.T @ self.entries[self.labels]
        gradient[:, classes:] = outer_sum(share.reshape(-1, len(self.x), delta.shape[1]).sum(axis=0), self.x)
        return {"weight": gradient} | ({"bias": delta.mean(axis=0)} if "bias" in params else {})
