"""Blockwise Forward-Forward: goodness at the end of each block of layers, back-propagation inside it (SHELOB-FFL, Izzo et al.)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.kernels.arithmetic import draws, step_key, stream_key
from edgeff.ops import Activations, kind
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.ops.label import Label, with_label
from edgeff.ops.normalise import Normalise
from edgeff.rules import Gradients, Run, Settings, register
from edgeff.rules._blocks import Block, blocks, lower_blocks, require_classes, step_blocks, walk
from edgeff.rules._building import RuleBuilder
from edgeff.rules.cwc import Competitive, CompetitiveSettings, below

EPS = 1e-4


@dataclass(frozen=True)
class BlockSettings(CompetitiveSettings):
    """``block``: the layers with weights in a block. ``goodness``: ``labels``, the mean square for right labels against that for wrong
    ones, or ``groups``, the competition of rule cwc. For labels: ``theta``, the threshold of goodness; ``on``, the value of the label's
    entry in the input, and ``neutral``, the value of each entry for the head; ``predict`` by goodness probes every label.
    """

    predict: str = "goodness"
    head_rate: float = 10.0
    block: int = 2
    goodness: str = "labels"
    theta: float = 2.0
    on: float = 1.0
    neutral: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.goodness not in ("labels", "groups"):
            raise BadInput("setting goodness", got=repr(self.goodness), allowed="labels, groups")
        if not 1 <= self.block <= 10_000:
            raise BadInput("setting block", got=self.block, allowed="1 to 10000")
        if not 0.0 < self.theta <= 1000.0:
            raise BadInput("setting theta", got=self.theta, allowed="above 0, at most 1000")
        for name in ("on", "neutral"):
            if not -1000.0 <= getattr(self, name) <= 1000.0:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed="-1000 to 1000")

    @property
    def searched(self) -> Mapping[str, float]:
        own = super().searched
        return own if self.goodness == "groups" else {"lr": own["lr"], "theta": 4.0}


def pair_delta(h: Array, theta: float, sign: int) -> Array:
    """d loss / d h of n / 2 softplus(sign (theta - mean h^2)), sign 1 for the right label and -1 for a wrong one; h (B, n)."""
    slope = sign * (theta - np.mean(h * h, axis=1, keepdims=True))
    return np.asarray(-sign * 0.5 * (1.0 + np.tanh(0.5 * slope)) * h)


@register
class BlockForwardForward(Competitive):
    """Goodness ``G = mean(h^2)`` of a block's last activation h; loss ``n / 2 softplus(theta - G)`` with the right label in the input and
    ``n / 2 softplus(G - theta)`` with a wrong one, whose gradient walks back through the block and stops there. The next block reads
    ``h / rms(h)``. One layer per block is layerwise Forward-Forward; a federated client gets as many blocks as it has room for.

    ``goodness=groups`` puts the competitive loss of rule cwc at the ends instead: one pass, no label in the input, convolutions too.
    Departures: Izzo et al. aggregate the blocks of federated clients, and this is the part of one client; labels are extra inputs beside
    the data, for dense networks only, since few windows of a convolution see a label in a corner of an image.
    """

    name = "block_ff"
    summary = "goodness between blocks of layers, back-propagation inside"
    source = "Izzo et al., SHELOB-FFL; Hinton 2022"
    stores = "one block's activations at a time"
    digits_energy = 74.0 + 32.0
    settings: Settings = BlockSettings(relative_lr=0.25, batch=20, epochs=150, decay=0.3)
    device: Mapping[str, Mapping[str, Any]] = {"float32": {"relative_lr": 2.65, "theta": 2.0}, "int8": {"relative_lr": 1.325, "theta": 2.0}}
    local = False

    def parts(self, layers: Sequence[Layer], settings: Any, *, head: bool) -> tuple[Block, ...]:
        return blocks(layers, settings.block, head=head)

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """For labels: ``label`` and ``normalise`` before the first layer, which gets a column per class; ``normalise`` after each block."""
        if settings.goodness == "groups":
            return super().prepare(network, settings, seed, classes)
        require_classes(network, self.name)
        if kinds := sorted({layer.kind for layer in network.trainable if not isinstance(layer.op, Dense)}):
            got, way = f"labels as inputs of layers of kind {', '.join(kinds)}", "set goodness=groups"
            raise Unsupported(f"rule {self.name}", got=got, allowed="dense", next_step=way)
        classes, inputs = prod(network.layers[-1].shape), prod(network.input_shape)
        label = Label(classes=classes, on=settings.on, neutral=settings.neutral)
        layers = [
            Layer("label", label, ("input",), (classes + inputs,)),
            Layer("label_norm", Normalise(eps=EPS), ("label",), (classes + inputs,)),
        ]
        renamed = {"input": "label_norm"}
        ends = {block.end.name for block in self.parts(network.layers, settings, head=True)}
        for layer in network:
            params = dict(layer.params)
            if layer is network.trainable[0]:
                limit = sqrt(6.0 / (classes + inputs))
                columns = np.random.default_rng([seed, 6]).uniform(-limit, limit, (len(params["weight"]), classes))
                params["weight"] = np.concatenate([columns.astype(np.float32), params["weight"]], axis=1)
            layers.append(replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs), params=params))
            if layer.name in ends:
                renamed[layer.name] = f"{layer.name}_norm"
                layers.append(Layer(f"{layer.name}_norm", Normalise(eps=EPS), (layer.name,), layer.shape))
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        """Whether the label has no place yet; a network of convolutions, which has no place for labels, is used unchanged."""
        return not any(isinstance(layer.op, Label) or (kind(layer).weighted and not isinstance(layer.op, Dense)) for layer in network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """As for Forward-Forward: goodness grows until it is around theta."""
        if settings.goodness == "groups":
            return super().headroom(network, settings, numeric)
        return Headroom(weights=3.0, hidden=4.0, output=6.0)

    def _check(self, build: RuleBuilder) -> None:
        """Raises Unsupported where the network has no place for labels."""
        require_classes(build.network, self.name, build.target)
        if build.settings.goodness == "labels" and not any(isinstance(layer.op, Label) for layer in build.network):
            got, way = "a network without a layer for labels", "train a dense one with it, or set goodness=groups"
            raise Unsupported(f"rule {self.name}", got=got, allowed="goodness=labels in a network made for them", next_step=way)

    def _labelled(self, run: Run, x: Array, labels: Array | None) -> Activations:
        """The values known before the layer after ``label``: x (B, ..) with the labels (B,), or the neutral one, in front."""
        return {"input": x, "label": with_label(run.network["label"], x, np.full(len(x), -1) if labels is None else labels)}

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        if run.settings.goodness == "groups":
            return super().step(run, x, t)
        layers, labels, theta = run.network.layers, t.argmax(axis=1), run.settings.theta
        parts = self.parts(layers, run.settings, head=True)
        hidden = below(layers, parts)[1:]
        drawn = draws(step_key(stream_key(run.seed, "negative"), run.steps), np.arange(len(x)))
        other = (drawn.astype(np.uint64) * np.uint64(t.shape[1] - 1) >> np.uint64(32)).astype(np.int64)
        right = step_blocks(run, hidden, parts, self._labelled(run, x, labels), lambda _, h: pair_delta(h, theta, 1))[0]
        start = self._labelled(run, x, other + (other >= labels))
        wrong = step_blocks(run, hidden, parts, start, lambda _, h: pair_delta(h, theta, -1))[0]
        gradients: Gradients = {layer: {name: value + wrong[layer][name] for name, value in own.items()} for layer, own in right.items()}
        *_, (_, h) = walk(layers, run, x)
        error = run.settings.head_rate * (h[layers[-1].name] - t)
        gradients[run.last.name] = kind(run.last).weight_gradient(run.last, run.params[run.last.name], error, h[run.last.inputs[0]])
        return gradients

    def scores(self, run: Run, x: Array) -> Array:
        if run.settings.predict == "head" or run.settings.goodness == "groups":
            return super().scores(run, x)
        layers, classes = run.network.layers, prod(run.network.layers[-1].shape)
        parts = self.parts(layers, run.settings, head=True)
        scores = np.zeros((len(x), classes), x.dtype)
        for label in range(classes):
            start = self._labelled(run, x, np.full(len(x), label))
            *_, (_, h) = walk(below(layers, parts)[1:], run, start)
            scores[:, label] = sum(np.mean(h[block.end.name] ** 2, axis=1) for block in parts)
        return scores

    # ---------------------------------------------------------------- on the device

    def lower_predict(self, build: RuleBuilder) -> Value:
        self._check(build)
        if build.settings.predict == "head" or build.settings.goodness == "groups":
            return super().lower_predict(build)
        parts, classes = self.parts(build.layers, build.settings, head=True), prod(build.layers[-1].shape)
        build.at_most(build.numeric, 16, len(parts), "the sum of the blocks' goodness")
        scores, number = build.scores(classes), build.class_number(0)
        for label in range(classes):
            if label:
                build.class_number(label, into=number)
            values = {"input": build.x, "label": build.embed(build.layers[0], build.x, number)}
            for layer in below(build.layers, parts)[1:]:
                values[layer.name] = build.forward(layer, *(values[name] for name in layer.inputs))
            for index, block in enumerate(parts):
                build.goodness(scores, values[block.end.name], label, add=index > 0)
        return scores

    def lower(self, build: RuleBuilder) -> None:
        """The head first, where it predicts; then block by block both activations with the old weights and both ways back."""
        if build.settings.goodness == "groups":
            build.largest_error = 16.0 * build.settings.sharpness
            return super().lower(build)
        settings = build.settings
        parts = self.parts(build.layers, settings, head=True)
        if settings.predict == "head":
            h, head = build.run(build.x), build.network.trainable[-1]
            build.update(head, build.error(h[build.layers[-1].name]), h[head.inputs[0]], settings.head_rate)
        wrong = build.wrong_label(prod(build.layers[-1].shape))
        starts = [{"input": build.x, "label": build.embed(build.layers[0], build.x, label)} for label in (build.label, wrong)]

        def local(block: Block, passes: Sequence[Mapping[str, Value]]) -> list[Value]:
            ends = [values[block.end.name] for values in passes]
            build.largest_error = 2.0 * sqrt(settings.theta) * ends[0].elements
            return [build.ff_delta(end, settings.theta, sign) for end, sign in zip(ends, (1, -1), strict=True)]

        lower_blocks(build, below(build.layers, parts)[1:], parts, local, *starts)
        return None
