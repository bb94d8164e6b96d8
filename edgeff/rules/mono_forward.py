"""Mono-Forward: each block learns from a linear map of its own averaged output to the classes (Gong, Li & Abdulla 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Headroom, Layer, Network, Numeric
from edgeff.ops.average_pool2d import AveragePool2d
from edgeff.rules import Gradients, Run, Settings, register
from edgeff.rules._blocks import Block, lower_blocks, require_classes, whole_blocks
from edgeff.rules._building import RuleBuilder
from edgeff.rules._parts import part_number
from edgeff.rules._pooled import lower_alone, lower_pooled
from edgeff.rules.local_heads import LocalHeads, head_error, headed_blocks, local_head


@dataclass(frozen=True)
class MonoForwardSettings(Settings):
    """``pool``: the most windows on a side to which a head averages an image, of one block after the other; the last number stands for
    all further ones.

    ``block``: the only block that learns, counted from 1; 0 for all together. ``part``: of that block's layers that are in parts
    (``edgeff.rules._parts``) the only one that learns, from 1; 0 for all. ``master`` (int8): the bits of a weight while it learns, 8 or 16;
    inference reads 8 of them.
    """

    pool: tuple[int, ...] = (2,)
    block: int = 0
    part: int = 0
    master: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pool or not all(1 <= size <= 10_000 for size in self.pool):
            raise BadInput("setting pool", got=self.pool, allowed="1 to 10000 each, at least one")
        if not 0 <= self.block <= 10_000:
            raise BadInput("setting block", got=self.block, allowed="0 to 10000")
        if not 0 <= self.part <= (10_000 if self.block else 0):
            raise BadInput("setting part", got=self.part, allowed="0 to 10000, 0 without block")
        if self.master not in ((8,) if self.part else (8, 16)):
            raise BadInput("setting master", got=self.master, allowed="8 where layers are in parts" if self.part else "8, 16")


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
    device: Mapping[str, Mapping[str, Any]] = {
        "float32": {"relative_lr": 0.5755},
        "int16": {"relative_lr": 0.5755},
        "int8": {"relative_lr": 0.5755},
    }

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
                pool = at_most(layer.shape, settings.pool[min(ends.index(layer.name), len(settings.pool) - 1)])
                layers += local_head(layer, classes or prod(network.layers[-1].shape), pool, rng)
        return replace(network, layers=tuple(layers))

    def headroom(self, network: Network, settings: Any, numeric: Numeric) -> Headroom:
        """In int8 also more room for activations than ``local_heads`` leaves: averages have no other steps than the map's."""
        room = super().headroom(network, settings, numeric)
        return replace(room, hidden=3.0) if numeric == "int8" else room

    def step(self, run: Run, x: Array, t: Array) -> Gradients:
        """The directions of all blocks, or of the one that learns."""
        gradients = super().step(run, x, t)
        if not run.settings.block:
            return gradients
        block = only_block(headed_blocks(run.network)[0], run.settings)
        names = {layer.name for layer in block.layers} - block.fixed
        return {name: direction for name, direction in gradients.items() if name in names}

    def lower(self, build: RuleBuilder) -> None:
        """Block by block its activations and its head's error from the old weights, then the way back and the updates.

        If one block learns alone, no head before it and nothing after it is computed.
        """
        parts, layers = headed_blocks(build.network)
        error = partial(head_error, build)
        if not build.settings.block:
            lower_blocks(build, layers, parts, error, backward=lower_pooled)
            return
        block = only_block(parts, build.settings)
        inside = {layer.name for layer in block.layers}
        read = {name for layer in block.layers for name in layer.inputs} - inside
        values = build.run(build.x, _leading_to(build.network.upstream.layers, read))
        lower_alone(build, block, values, error)


def only_block(parts: Sequence[Block], settings: Any) -> Block:
    """The block that ``settings`` let learn, or its part. Raises BadInput for a number that is too large."""
    number, part = settings.block, settings.part
    if number > len(parts):
        raise BadInput("setting block", got=number, allowed=f"0 to {len(parts)}, the network's blocks")
    block = parts[number - 1]
    numbers = {layer.name: part_number(layer) for layer in block.layers}
    if part > max(numbers.values()):
        raise BadInput("setting part", got=part, allowed=f"0 to {max(numbers.values())}, the parts of block {number}")
    return replace(block, fixed=frozenset(name for name, own in numbers.items() if part and own not in (0, part)))


def _leading_to(layers: Sequence[Layer], names: set[str]) -> list[Layer]:
    """Those of ``layers`` on which the layers called ``names`` depend, with these."""
    wanted, found = set(names), list[Layer]()
    for layer in reversed(layers):
        if layer.name in wanted:
            wanted.update(layer.inputs)
            found.insert(0, layer)
    return found


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
