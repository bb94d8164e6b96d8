"""Mono-Forward: each block learns from a linear map of its own averaged output to the classes (Gong, Li & Abdulla 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Layer, Network
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.rules import Settings, register
from edgeff.rules._blocks import lower_blocks, require_classes, whole_blocks
from edgeff.rules._building import RuleBuilder
from edgeff.rules._pooled import lower_pooled
from edgeff.rules.local_heads import LocalHeads, head_error, headed_blocks, local_head


@dataclass(frozen=True)
class MonoForwardSettings(Settings):
    """``pool``: the most windows on a side to which a head averages an image.

    ``master`` (int8): the bits of a weight while it learns, 8 or 16; inference reads 8 of them.
    """

    pool: int = 2
    master: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.pool <= 10_000:
            raise BadInput("setting pool", got=self.pool, allowed="1 to 10000")
        if self.master not in (8, 16):
            raise BadInput("setting master", got=self.master, allowed="8, 16")


@register
class MonoForward(LocalHeads):
    """A block's goodness for the classes is M a, a its output averaged over at most ``pool`` x ``pool`` windows, and its loss the
    cross-entropy of softmax(M a) and the label; M and the block learn by the exact gradient, which leaves neither. The last block has
    the network's own head.

    A block is what lies between two places that one activation alone passes: a layer, a depthwise and a pointwise convolution, the layers
    around which a skip connection leads; a first convolution joins such a block. Each block is updated before the next is computed.
    Departures: the paper projects the whole output, here it is averaged first, and M has a bias; the paper's blocks are single layers.
    """

    name = "mono_forward"
    summary = "each block learns from a linear map of its averages"
    source = "Gong, Li & Abdulla, arXiv 2501.09238, 2025"
    stores = "one block's input and output"
    settings: Settings = MonoForwardSettings(relative_lr=0.3597, batch=16, epochs=60, decay_shares=(0.667, 0.9))
    device: Mapping[str, Mapping[str, Any]] = LocalHeads.device

    def prepare(self, network: Network, settings: Any, seed: int, classes: int | None = None) -> Network:
        """The network with a head beside every block except the last; beside all blocks for a group without a head."""
        if classes is None:
            require_classes(network, self.name)
        rng = np.random.default_rng([seed, 5])
        parts = whole_blocks(network.layers, head=classes is None)
        ends = [block.end.name for block in (parts if classes is not None else parts[:-1])]
        layers: list[Layer] = []
        for layer in network:
            layers.append(layer)
            if layer.name in ends:
                layers += local_head(layer, classes or prod(network.layers[-1].shape), at_most(layer.shape, settings.pool), rng)
        return replace(network, layers=tuple(layers))

    def lower(self, build: RuleBuilder) -> None:
        """Block by block its activations and its head's error from the old weights, then the way back and the updates."""
        parts, layers = headed_blocks(build.network)
        lower_blocks(build, layers, parts, partial(head_error, build), backward=lower_pooled)


def at_most(shape: tuple[int, ...], pool: int) -> AveragePool2d | None:
    """An average pool to at most ``pool`` x ``pool`` windows of an image, the last of which may stick out; None where it changes nothing.

    >>> pool = at_most((25, 5, 64), 2)
    >>> pool.window, pool.pads
    ((13, 3), (0, 0, 1, 1))
    """
    if len(shape) != 3 or max(shape[:2]) <= pool:
        return None
    (height, width), (below, right) = zip(*(_window(size, pool) for size in shape[:2]), strict=True)
    return AveragePool2d(pool_h=height, pool_w=width, stride_h=height, stride_w=width, pad_bottom=below, pad_right=right)


def _window(size: int, pool: int) -> tuple[int, int]:
    """The size of at most ``pool`` windows that cover ``size``, and by how much the last sticks out."""
    window = -(-size // pool)
    return window, -size % window
