"""DeeperForward: Forward-Forward with the mean activation as goodness and layer normalisation between layers (Sun et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network, Numeric
from edgeff.kernels.activation import RELU
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.ops.standardise import EPS, Standardise
from edgeff.rules import Gradients, LayerScores, Run, Settings, register
from edgeff.rules._blocks import Block, lower_blocks, macs, require_classes, step_blocks, walk
from edgeff.rules._building import RuleBuilder
from edgeff.rules._competition import GroupSettings
from edgeff.rules.local_heads import HEAD, POOL, SCORES, LocalHeads, head_error, headed_blocks, probabilities, windows_for
from edgeff.rules.words.competition import spans


@dataclass(frozen=True)
class DeeperForwardSettings(GroupSettings):
    """``predict``: ``goodness`` is the sum over the hidden layers but the first (host)."""

    sharpness: float = 4.0


@register
class DeeperForward(LocalHeads):
    """The C channels of a hidden layer are cut into J class groups; the goodness ``G_j`` of class j is the mean of the activations (ReLU)
    of group j's channels at all places, the local loss the cross-entropy of ``softmax(k G)``. One pass, no negative data. Every layer with
    weights reads its input standardised over the sample (layer normalisation), which hides the sum of all goodness from it.

    A mean is linear, so the goodness is a dense layer of fixed weights behind an average pool: a local head that does not learn, and the
    gradient ``k (p - t)_j / (n c_j)`` at each of the n places where the ReLU is open. Departures: the normalisation is over the whole
    sample, as the paper has it, where its public code has one for each group; it stands after the pooling; the network's own head learns
    from its own error and predicts by default; k is 1 in the paper. If C is no multiple of J the first groups have one channel more; with
    fewer channels than classes, classes share groups (class c belongs to group c % C).
    """

    name = "deeper_forward"
    summary = "channel groups compete by mean activation, layers standardised"
    source = "Sun et al., ICLR 2025"
    stores = "two layers' activations at a time"
    settings: Settings = DeeperForwardSettings(relative_lr=0.2, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.3},
        "int8": {"relative_lr": 0.15},
    }
    numerics: tuple[Numeric, ...] = ("float32", "int8")
    why_not = "it was tried in float32 and int8 alone"
    digits_energy = 64.0 + 32.0
    local = False

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with a standardisation before every layer with weights, and a fixed head beside every hidden layer.

        Raises Unsupported for a network that is no classifier, whose hidden layers do not end in ReLU, or that is not a chain.
        """
        require_classes(network, self.name)
        count = prod(network.layers[-1].shape)
        head = network.upstream.trainable[-1]
        check(network, head)
        layers: list[Layer] = []
        shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
        for layer in network:
            if layer.trainable:
                source = layer.inputs[0]
                layers.append(Layer(f"{source}_std", Standardise(eps=EPS), (source,), shapes[source]))
                layers.append(replace(layer, inputs=(layers[-1].name,)))
            else:
                layers.append(layer)
            if layer.trainable and layer is not head:
                layers += fixed_head(layer, count, settings.sharpness)
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        return not any(layer.name.endswith(HEAD) for layer in network)

    def learns(self, network: Network, *, head: bool = True, settings: Any = None) -> tuple[Layer, ...]:
        return tuple(layer for layer in network.trainable if not layer.name.endswith(HEAD))

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        parts, layers = fixed_blocks(run.network)
        rates = {block.end.name: np.float32(run.settings.head_rate) for block in parts[-1:]}

        def error(block: Block, logits: Array) -> Array:
            wrong = probabilities(run.network, block, logits) - t
            return wrong * rates[block.end.name].astype(wrong.dtype) if block.end.name in rates else wrong

        return step_blocks(run, layers, parts, x, error)[0]

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores]:
        """By head as ``local_heads``: each layer's own. By goodness the sum so far of all hidden layers but the first, of several."""
        if run.settings.predict == "head":
            yield from super().layer_scores(run, x)
            return
        parts = fixed_blocks(run.network)[0][:-1]
        numbers = {block.end.name: number for number, block in enumerate(parts)}
        total, spent = np.zeros((), x.dtype), 0
        for layer, h in walk([layer for block in parts for layer in block.layers], run, x):
            spent += macs(layer)
            if layer.name in numbers:
                total = h[layer.name] + (total if numbers[layer.name] > 1 else 0)
                yield LayerScores(layer.name.removesuffix(HEAD), total, spent)

    def scores(self, run: Run, x: Array) -> Array:
        if run.settings.predict == "head":
            return super().scores(run, x)
        *_, (_, scores, _) = self.layer_scores(run, x)
        return scores

    # ---------------------------------------------------------------- on the device

    def lower_predict(self, build: RuleBuilder) -> Value:
        if build.settings.predict != "head":
            raise Unsupported("prediction by rule deeper_forward on a device", got="predict=goodness", allowed="predict=head")
        return super().lower_predict(build)

    def lower(self, build: RuleBuilder) -> None:
        """Layer by layer its activations and its goodness' error from the old weights, then its update."""
        parts, layers = fixed_blocks(build.network)
        if build.settings.head_rate != 1.0:
            got = build.settings.head_rate
            raise Unsupported("head_rate of rule deeper_forward on a device", got=got, allowed=1.0, next_step="--set head_rate=1")
        lower_blocks(build, layers, parts, partial(head_error, build))


def check(network: Network, head: Layer) -> None:
    """Raises Unsupported unless the layers are a chain, each hidden one with weights has ReLU, and none is normalised already."""
    names = ["input", *(layer.name for layer in network)]
    for below, layer in zip(names, network, strict=False):
        if layer.inputs != (below,):
            raise Unsupported(
                "rule deeper_forward", got=f"layer {layer.name!r} after {', '.join(layer.inputs)}", allowed="a chain of layers"
            )
        if layer.trainable and layer is not head and (not hasattr(layer.op, "activation") or kind(layer).function is not RELU):
            raise Unsupported(f"rule deeper_forward, layer {layer.name!r}", got="another activation function", allowed=RELU.name)


def fixed_head(layer: Layer, classes: int, sharpness: float) -> list[Layer]:
    """The layers of the goodness of ``layer``: the average over its places, then k times the mean of each class's channels."""
    head, below, shape = [], layer.name, layer.shape
    pool = windows_for(shape, 1)
    if pool is not None:
        pooled = Layer(f"{layer.name}{POOL}", pool, (below,), shape)
        head = [replace(pooled, shape=pool.output_shape(pooled, (shape,)))]
        below = head[0].name
    groups = spans(shape[-1], classes)
    weight = np.zeros((classes, shape[-1]), np.float32)
    for label in range(classes):
        span = groups[label % len(groups)]
        weight[label, span] = sharpness / (span.stop - span.start)
    dense = Layer(f"{layer.name}{HEAD}", Dense(), (below,), (classes,), {"weight": weight})
    return [*head, dense, Layer(f"{layer.name}{SCORES}", Softmax(), (dense.name,), (classes,))]


def fixed_blocks(network: Network) -> tuple[tuple[Block, ...], Sequence[Layer]]:
    """The blocks, those of hidden layers with their fixed heads, and the layers to compute in order."""
    parts, layers = headed_blocks(network)
    return tuple(replace(block, fixed=frozenset({block.end.name})) if block.end.name.endswith(HEAD) else block for block in parts), layers
