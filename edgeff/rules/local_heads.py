"""Local heads: each block of layers learns from the error of its own small classifier (Nokland & Eidnes 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.ops import kind
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.ops.softmax import Softmax
from edgeff.rules import Gradients, LayerScores, Rule, Run, Settings, register
from edgeff.rules._blocks import Block, Passes, blocks, checked, lower_blocks, macs, require_classes, step_blocks, walk
from edgeff.rules._building import RuleBuilder

HEAD, POOL, SCORES = "_head", "_head_pool", "_head_scores"
"""Suffixes of the names of a local head's layers, which are named after the layer they read."""


@dataclass(frozen=True)
class LocalHeadSettings(Settings):
    """``block``: how many layers with weights share a head. ``pool``: the least side of the grid to which a head averages an image."""

    block: int = 1
    pool: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("block", "pool"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise BadInput(f"setting {name}", got=getattr(self, name), allowed="1 to 10000")


@register
class LocalHeads(Rule):
    """A head averages its block's output over at least ``pool`` x ``pool`` windows, then has a dense layer and a softmax; its error
    ``p - t`` walks back through the head and the block and no further. The last block has the network's own head. With one block for all
    layers this is back-propagation; with one layer per block it is decoupled greedy learning (Belilovsky et al. 2020), all layers at once.

    Heads are side branches of the network, named after the layers they read; a network is deployed without them unless it continues
    learning with this rule. Departure: of Nokland & Eidnes' two losses this is the predictive one; their similarity matching loss compares
    the samples of a batch, and a device has one at a time.
    """

    name = "local_heads"
    summary = "each block learns from its own small classifier"
    source = "Nokland & Eidnes, ICML 2019; Belilovsky, Eickenberg & Oyallon, ICML 2020"
    stores = "one block's activations at a time"
    settings: Settings = LocalHeadSettings(relative_lr=0.3597, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.5755},
        "int16": {"relative_lr": 0.5755},
        "int8": {"relative_lr": 0.1727, "decay": 0.8},
    }
    local = True
    side_branches = True

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with a head beside every block except the last; beside all blocks for a group without a head."""
        if classes is None:
            require_classes(network, self.name)
        rng = np.random.default_rng([seed, 5])
        parts = blocks(network.layers, settings.block, head=classes is None)
        ends = [block.end.name for block in (parts if classes is not None else parts[:-1])]
        layers: list[Layer] = []
        for layer in network:
            layers.append(layer)
            if layer.name in ends:
                layers += local_head(layer, classes or prod(network.layers[-1].shape), windows_for(layer.shape, settings.pool), rng)
        return replace(network, layers=tuple(layers))

    def prepare_needed(self, network: Network, *, head: bool = True) -> bool:
        """Whether there is no local head yet, and more than one layer below the network's own or, in a group without it, any layer."""
        return len(network.trainable) > (2 if head else 0) and not any(layer.name.endswith(HEAD) for layer in network)

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """In int8: finer weights, because gradients walk back through them, and more room for logits, whose saturation stops learning."""
        return Headroom(weights=1.5, hidden=2.0, output=16.0) if numeric == "int8" else super().headroom(network, settings, numeric)

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        parts, layers = headed_blocks(run.network)
        return step_blocks(run, layers, parts, x, lambda block, logits: probabilities(run.network, block, logits) - t)[0]

    def layer_scores(self, run: Run, x: Array) -> Iterator[LayerScores]:
        """After each block its name (its last layer's), its head's probabilities (B, C), and the multiply-accumulates per sample so far.

        The cost of a head is counted with its block and not with later blocks.
        """
        parts, layers = headed_blocks(run.network)
        ends = {block.end.name: block for block in parts}
        main, spent, beside = {layer.name for layer in run.network.upstream}, 0, 0
        for layer, h in walk(layers, run, x):
            spent += macs(layer) if layer.name in main else 0
            beside = 0 if layer.name in main else macs(layer)
            if layer.name in ends:
                name, chances = layer.name.removesuffix(HEAD), probabilities(run.network, ends[layer.name], h[layer.name])
                yield LayerScores(name, chances, spent + beside)

    def lower_predict(self, build: RuleBuilder) -> Value:
        require_classes(build.network, self.name, build.target)
        return super().lower_predict(build)

    def lower(self, build: RuleBuilder) -> None:
        """Block by block its activations and its head's error from the old weights, then the way back and the updates."""
        parts, layers = headed_blocks(build.network)

        lower_blocks(build, layers, parts, partial(head_error, build))


def windows_for(shape: tuple[int, ...], pool: int) -> AveragePool2d | None:
    """An average pool that leaves at least ``pool`` x ``pool`` windows of an image; None where it changes nothing."""
    if len(shape) != 3 or (max(shape[0] // pool, 1), max(shape[1] // pool, 1)) == (1, 1):
        return None
    height, width = max(shape[0] // pool, 1), max(shape[1] // pool, 1)
    return AveragePool2d(pool_h=height, pool_w=width, stride_h=height, stride_w=width)


def local_head(layer: Layer, classes: int, pool: AveragePool2d | None, rng: np.random.Generator) -> list[Layer]:
    """The layers of a new head beside ``layer``: the average pool, if any, then a dense layer with a bias, then the softmax."""
    head, below, shape = [], layer.name, layer.shape
    if pool is not None:
        pooled = Layer(f"{layer.name}{POOL}", pool, (below,), shape)
        pooled = replace(pooled, shape=pool.output_shape(pooled, (shape,)))
        head, below, shape = [pooled], pooled.name, pooled.shape
    dense = Layer(f"{layer.name}{HEAD}", Dense(), (below,), (classes,))
    head.append(replace(dense, params=Dense(bias=True).initial(dense, (shape,), rng)))
    return [*head, Layer(f"{layer.name}{SCORES}", Softmax(), (dense.name,), (classes,))]


def headed_blocks(network: Network) -> tuple[tuple[Block, ...], tuple[Layer, ...]]:
    """The blocks, each with its head, and the layers to compute, in order, up to the last logits.

    The blocks end in dense layers: those of the local heads and, unless the network is a group, its own head.
    """
    headed: list[Block] = []
    part: list[Layer] = []
    for layer in network:
        if not layer.name.endswith(SCORES):
            part.append(layer)
        if layer.name.endswith(HEAD):
            headed.append(checked(Block(tuple(part))))
            part = []
    weighted = [index for index, layer in enumerate(part) if layer.trainable]
    if weighted:
        headed.append(checked(Block(tuple(part[: weighted[-1] + 1]))))
    return tuple(headed), tuple(layer for block in headed for layer in block.layers)


def head_error(build: RuleBuilder, block: Block, passes: Passes) -> list[Value]:
    """Emits the error of a block's head, d loss / d its logits."""
    scores = passes[0][block.end.name]
    for layer in output_layers(build.network, block):
        scores = build.forward(layer, scores)
    return [build.error(scores)]


def output_layers(network: Network, block: Block) -> tuple[Layer, ...]:
    """The layers after the block's logits, which turn them into probabilities, in order."""
    if block.end.name.endswith(HEAD):
        return (network[f"{block.end.name.removesuffix(HEAD)}{SCORES}"],)
    layers = network.upstream.layers
    return layers[layers.index(block.end) + 1 :]


def probabilities(network: Network, block: Block, logits: Array) -> Array:
    """The block's class scores (B, C)."""
    for layer in output_layers(network, block):
        logits = kind(layer).forward(layer, {}, logits)
    return logits
