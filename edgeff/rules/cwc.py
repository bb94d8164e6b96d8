"""Channel-wise competitive Forward-Forward: the channels of a layer compete for the classes (Papachristodoulou et al., AAAI 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgeff.ir import Array, Layer, Network
from edgeff.networks._norms import with_norms
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.rules import Gradients, LayerScores, Rule, Run, Settings, register
from edgeff.rules._blocks import Block, blocks, lower_blocks, macs, require_classes, step_blocks, walk
from edgeff.rules._building import RuleBuilder
from edgeff.rules._competition import GroupSettings
from edgeff.rules.words.competition import LEAST_ENERGY, spans


@dataclass(frozen=True)
class CompetitiveSettings(GroupSettings):
    """``predict``: ``goodness`` is the sum over all layers. ``batch_norm``: whether convolutions without it get it while they train on the
    host.
    """

    batch_norm: bool = True


def goodness(h: Array, classes: int) -> tuple[Array, Array]:
    """r_j = K G_j / sum(G) of each group, (B, K), and m = mean(G), (B, 1), of an activation h (B, .., C).

    G_j is the mean square over positions and the channels of group j, one of K = min(classes, C); a silent sample (m = 0) has r = 0. Cost:
    one multiplication per element.
    """
    flat = h.reshape(len(h), -1, h.shape[-1])
    energies = np.einsum("bnc,bnc->bc", flat, flat) / np.asarray(flat.shape[1], h.dtype)
    means = np.stack([energies[:, span].mean(axis=1) for span in spans(h.shape[-1], classes)], axis=1)
    total = means.sum(axis=1, keepdims=True)
    relative = np.divide(means.shape[1] * means, total, out=np.zeros_like(means), where=total >= LEAST_ENERGY)
    return relative, total / np.asarray(means.shape[1], h.dtype)


def group_targets(t: Array, groups: int) -> Array:
    """One-hot rows (B, K) of the groups from one-hot targets t (B, C): class c belongs to group c % K."""
    return np.eye(groups, dtype=t.dtype)[t.argmax(axis=1) % groups]


def competitive_loss(h: Array, t: Array, sharpness: float) -> Array:
    """The local loss of each sample (B,): the cross-entropy of softmax(sharpness r) and the target's group."""
    relative, _ = goodness(h, t.shape[1])
    logits = sharpness * relative
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(logits).sum(axis=1)) - (group_targets(t, relative.shape[1]) * logits).sum(axis=1))


def competitive_delta(h: Array, t: Array, sharpness: float) -> Array:
    """d loss / d h of ``competitive_loss``: ``2 k / (n_j m) (e_j - sum(e r) / K) h`` with e = p - t and n_j values in group j."""
    relative, mean = goodness(h, t.shape[1])
    logits = sharpness * relative
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = powers / powers.sum(axis=1, keepdims=True) - group_targets(t, relative.shape[1])
    slopes = error - (error * relative).mean(axis=1, keepdims=True)
    slopes = np.divide(2.0 * sharpness * slopes, mean, out=np.zeros_like(slopes), where=relative.shape[1] * mean >= LEAST_ENERGY)
    positions = prod(h.shape[1:-1])
    widths = [span.stop - span.start for span in spans(h.shape[-1], t.shape[1])]
    each = np.repeat(slopes / (positions * np.asarray(widths)), widths, axis=1)
    return h * each.reshape(len(h), *(1,) * (h.ndim - 2), h.shape[-1]).astype(h.dtype, copy=False)


@register
class Competitive(Rule):
    """The C channels of a layer are cut into J class groups; ``G_j`` is the mean of h^2 over group j's channels and all positions, the
    local loss the cross-entropy of ``softmax(k r)`` with ``r_j = J G_j / sum(G)``. One pass, no negative data, and nothing is propagated
    from above: a layer learns as soon as it is computed. The network's own head learns from its own error on the last layer's features.

    Departures: goodness is relative (the paper feeds G itself to the softmax and lets batch normalisation keep its scale), so that one
    sharpness serves every layer, width and scale of inputs, and integers need no calibration for it; the convolutions are those of the
    network, grouped or not; all layers learn from the first epoch on. If C is not a multiple of J, the first groups have one channel
    more; with fewer channels than classes, classes share groups (class c belongs to group c % C).
    """

    name = "cwc"
    summary = "channels of a layer compete for the classes"
    source = "Papachristodoulou, Kyrkou, Timotheou & Theocharides, AAAI 2024"
    stores = "two layers' activations at a time"
    settings: Settings = CompetitiveSettings(relative_lr=0.2, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.1439, "head_rate": 4.0},
        "int8": {"relative_lr": 0.2878, "head_rate": 4.0},
    }
    numerics = ("float32", "int8")
    why_not = "its goodness has kernels only for float32 and int8"
    local = True

    def parts(self, layers: Sequence[Layer], settings: Any, *, head: bool) -> tuple[Block, ...]:
        """The parts with their own loss: each layer with weights except the head, if there is one."""
        return blocks(layers, 1, head=head)

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network, which must be a classifier, with batch normalisation after its convolutions during training.

        A group of layers below another rule's is not changed. Raises Unsupported for a network that is not a classifier.
        """
        if classes is not None:
            return network
        require_classes(network, self.name)
        return with_norms(network) if settings.batch_norm else network

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        layers, sharpness = run.network.upstream.layers, run.settings.sharpness
        parts = self.parts(layers, run.settings, head=run.classes is None)
        if run.classes is not None:
            return step_blocks(run, below(layers, parts), parts, x, lambda _, h: competitive_delta(h, t, sharpness))[0]
        gradients, h = step_blocks(run, layers, parts, x, lambda _, h: competitive_delta(h, t, sharpness))
        error = run.settings.head_rate * (h[layers[-1].name] - t)
        gradients[run.last.name] = kind(run.last).weight_gradient(run.last, run.params[run.last.name], error, h[run.last.inputs[0]])
        return gradients

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores]:
        """After each layer its name, the sum of the goodness so far (B, C), and the multiply-accumulates per sample so far."""
        layers, classes = run.network.upstream.layers, run.classes or prod(run.network.layers[-1].shape)
        parts = self.parts(layers, run.settings, head=run.classes is None)
        ends = {block.end.name for block in parts}
        scores, spent = np.zeros((len(x), classes), x.dtype), 0
        for layer, h in walk(below(layers, parts), run, x):
            spent += macs(layer)
            if layer.name in ends:
                relative, _ = goodness(h[layer.name], classes)
                scores = scores + relative[:, np.arange(classes) % relative.shape[1]]
                spent += prod(layer.shape)
                yield LayerScores(layer.name, scores, spent)

    def scores(self, run: Run, x: Array) -> Array:
        if run.settings.predict == "head":
            return super().scores(run, x)
        *_, (_, scores, _) = self.layer_scores(run, x)
        return scores

    # ---------------------------------------------------------------- on the device

    def lower_predict(self, build: RuleBuilder) -> Value:
        require_classes(build.network, self.name, build.target)
        if build.settings.predict == "head":
            return super().lower_predict(build)
        parts = self.parts(build.layers, build.settings, head=True)
        values = build.run(build.x, below(build.layers, parts))
        scores = build.scores(prod(build.layers[-1].shape))
        build.at_most(build.numeric, 16, len(parts), "the sum of the hidden layers' goodness")
        for number, block in enumerate(parts):
            build.channel_goodness(scores, values[block.end.name], block.end, add=number > 0)
        return scores

    def lower(self, build: RuleBuilder) -> None:
        """Layer by layer its activation from the old weights, then its update; last the head, where it predicts."""
        classes, sharpness = build.classes or prod(build.layers[-1].shape), build.settings.sharpness
        parts = self.parts(build.layers, build.settings, head=build.classes is None)
        headed = build.classes is None and build.settings.predict == "head"

        def local(block: Block, passes: Sequence[Mapping[str, Value]]) -> list[Value]:
            return [build.competitive_delta(values[block.end.name], block.end, classes, sharpness) for values in passes]

        values = lower_blocks(build, build.layers if headed else below(build.layers, parts), parts, local)
        if headed:
            head = build.network.upstream.trainable[-1]
            build.update(head, build.error(values[build.layers[-1].name]), values[head.inputs[0]], build.settings.head_rate)


def below(layers: Sequence[Layer], parts: Sequence[Block]) -> tuple[Layer, ...]:
    """The layers up to the end of the last block."""
    return tuple(layers[: list(layers).index(parts[-1].end) + 1]) if parts else ()
