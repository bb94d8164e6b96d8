"""Channel-wise competitive Forward-Forward: the channels of a layer compete for the classes (Papachristodoulou et al., AAAI 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.layers import kind
from edgeff.rules import Gradients, Rule, Run, Settings, register
from edgeff.rules._blocks import Block, blocks, head_outputs, step_blocks


@dataclass(frozen=True)
class CompetitiveSettings(Settings):
    """``sharpness``: what goodness is multiplied by before the softmax; ``predict``: ``head`` or ``goodness``; ``head_rate``."""

    sharpness: float = 1.0
    predict: str = "head"
    head_rate: float = 1.0
    relative: bool = False
    norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predict not in ("head", "goodness"):
            raise BadInput("setting predict", got=repr(self.predict), allowed="head, goodness")


def group_sizes(channels: int, classes: int) -> Array:
    return channels // classes + (np.arange(classes) < channels % classes)


def goodness(h, classes):
    flat = h.reshape(len(h), -1, h.shape[-1])
    energy = np.einsum("bnc,bnc->bc", flat, flat) / flat.shape[1]
    sizes = group_sizes(h.shape[-1], classes)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    return np.add.reduceat(energy, starts, axis=1) / sizes.astype(h.dtype)


def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@register
class Competitive(Rule):
    name = "cwc"
    summary = "the channels of a layer compete for the classes"
    source = "Papachristodoulou et al., AAAI 2024"
    settings: Settings = CompetitiveSettings(lr=0.01, batch=64, epochs=60, decay_epochs=(40, 54))
    local = True

    def prepare(self, network, settings, seed, classes=None):
        if not settings.norm:
            return network
        from dataclasses import replace
        from edgeff.ir import Layer
        layers, renamed = [], {}
        ends = {b.end.name for b in blocks(network, head=classes is None)}
        for layer in network:
            layers.append(replace(layer, inputs=tuple(renamed.get(n, n) for n in layer.inputs)))
            if layer.name in ends:
                renamed[layer.name] = layer.name + "_norm"
                layers.append(Layer(layer.name + "_norm", "normalise", (layer.name,), layer.shape, {"eps": 1e-4}))
        return replace(network, layers=tuple(layers))

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        classes, s = t.shape[1], run.settings
        head = None if run.classes is not None else run.last
        def local(block: Block, h: Array) -> Array:
            g = goodness(h, classes)
            sizes = group_sizes(h.shape[-1], classes)
            n = h[0].size // h.shape[-1] * sizes
            k = s.sharpness
            if s.relative:
                m = g.mean(axis=1, keepdims=True) + 1e-6
                r = g / m
                p = softmax(k * r)
                e = k * (p - t)
                e = (e - (e * r).mean(axis=1, keepdims=True)) / m
            else:
                p = softmax(k * g)
                e = k * (p - t)
            run.extra.setdefault("acc", {}).setdefault(block.end.name, []).append(float((g.argmax(1) == t.argmax(1)).mean()))
            per = np.repeat(2 * e / n, sizes, axis=1).astype(h.dtype)
            return h * per.reshape(len(h), *(1,) * (h.ndim - 2), -1)
        parts = blocks(run.network, head=head is not None)
        gradients, h = step_blocks(run, parts, x, local, head)
        if head is not None:
            o = head_outputs(run, head, h)
            gradients[head.name] = kind(head).weight_gradient(head, run.params[head.name], s.head_rate * (o - t), h[head.inputs[0]])
        return gradients

    def scores(self, run: Run, x: Array) -> Array:
        if run.settings.predict == "head":
            return super().scores(run, x)
        raise NotImplementedError
