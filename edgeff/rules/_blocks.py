"""Blocks: runs of layers that learn from their own loss at their end, and from nothing above it.

A block has a few layers with weights and the layers between them. On the host and on the device its end is computed, its loss gives
the error at the end, which walks back inside the block, and the next block reads the output of this one as plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.ops import Activations, kind
from edgeff.ops.add import sum_of
from edgeff.ops.building import Value
from edgeff.rules import Gradients, Run
from edgeff.rules._building import RuleBuilder


@dataclass(frozen=True)
class Block:
    """The layers of a block in the network's order; the last one is its end, where its loss is. The weights of those ``fixed`` stay."""

    layers: tuple[Layer, ...]
    fixed: frozenset[str] = frozenset()

    @property
    def end(self) -> Layer:
        return self.layers[-1]

    @property
    def learning(self) -> frozenset[str]:
        """The layers that a gradient has to reach: those whose output depends on a weight of the block."""
        names: set[str] = set()
        for layer in self.layers:
            if (layer.trainable and layer.name not in self.fixed) or any(name in names for name in layer.inputs):
                names.add(layer.name)
        return frozenset(names)


def require_classes(network: Network, rule: str, target: str = "class") -> None:
    """Raises Unsupported for a network that is not a classifier, or that has nothing below its head."""
    if not kind(network.layers[-1]).probabilities or target != "class":
        got = f"a network that ends in {network.layers[-1].kind}" if target == "class" else "a network that reproduces its input"
        raise Unsupported(f"rule {rule}", got=got, allowed="a classifier that ends in softmax", next_step="use another rule")
    if len(network.upstream.trainable) < 2:
        raise Unsupported(f"rule {rule}", got="a network without a hidden layer", allowed="at least one hidden layer and the head")


def blocks(layers: Sequence[Layer], size: int = 1, *, head: bool = True) -> tuple[Block, ...]:
    """The blocks of ``size`` layers with weights each; the last may have fewer. Batch normalisation does not count.

    An elementwise layer belongs to the layer whose output it reads: no block ends between the two.

    With a ``head`` the last layer with weights is in no block. Raises Unsupported if a layer of a block does not lead to its end.
    """
    weighted = [index for index, layer in enumerate(layers) if layer.trainable]
    stop = weighted.pop() if head else len(layers)
    cores = [index for index in weighted if not kind(layers[index]).moving]
    result = []
    for part in (cores[first : first + size] for first in range(0, len(cores), size)):
        last = part[-1]
        while last + 1 < stop and kind(layers[last + 1]).elementwise and layers[last].name in layers[last + 1].inputs:
            last += 1
        result.append(checked(Block(tuple(layers[part[0] : last + 1]))))
    return tuple(result)


def whole_blocks(layers: Sequence[Layer], *, head: bool = True) -> tuple[Block, ...]:
    """The smallest blocks after which one activation alone goes on, each with at least one layer that mixes channels.

    So a depthwise convolution and the pointwise one after it are one block, and so are the layers around which a skip connection leads. A
    first layer alone joins a second block of several layers with weights: alone it would learn filters of no use to the others
    (docs/adr/0030-learning-in-the-ram-of-inference.md). With a ``head`` the last layer with weights is in no block.
    """
    stop = [index for index, layer in enumerate(layers) if layer.trainable].pop() if head else len(layers)
    result: list[tuple[Layer, ...]] = []
    first: int | None = None
    mixes = False
    for index, layer in enumerate(layers[:stop]):
        if layer.trainable and not kind(layer).moving:
            first = index if first is None else first
            mixes = mixes or not kind(layer).channelwise
        before = {"input", *(known.name for known in layers[:index])}
        later = layers[index + 1 :]
        ends_here = not any(name in before for reader in later for name in reader.inputs)
        goes_on = index + 1 < stop and kind(layers[index + 1]).elementwise and layer.name in layers[index + 1].inputs
        if first is not None and mixes and ends_here and not goes_on:
            result.append(tuple(layers[first : index + 1]))
            first, mixes = None, False
    if len(result) > 1 and _weighted(result[0]) == 1 < _weighted(result[1]):
        start, end = layers.index(result[0][0]), layers.index(result[1][-1])
        result[:2] = [tuple(layers[start : end + 1])]
    return tuple(checked(Block(part)) for part in result)


def _weighted(layers: Sequence[Layer]) -> int:
    return sum(layer.trainable and not kind(layer).moving for layer in layers)


def checked(block: Block) -> Block:
    """The block. Raises Unsupported for a layer with weights on which its end does not depend."""
    needed = {block.end.name}
    for layer in reversed(block.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
        elif layer.trainable:
            raise Unsupported(
                f"a block that ends in layer {block.end.name!r}",
                got=f"layer {layer.name!r}, which does not lead there",
                allowed="layers that lead to the end of their block",
                next_step="choose another number of layers per block",
            )
    return block


def macs(layer: Layer) -> int:
    """The multiply-accumulates per sample of a layer with weights; 0 for other layers."""
    return layer.params["weight"].size * prod(layer.shape[:-1]) if layer.trainable and not kind(layer).moving else 0


Start = Array | Mapping[str, Array]
"""The inputs x of a batch, or by name all values known before the first layer to compute."""


def walk(layers: Sequence[Layer], run: Run, x: Start) -> Iterator[tuple[Layer, Activations]]:
    """Each layer with all activations so far."""
    h: Activations = dict(x) if isinstance(x, Mapping) else {"input": x}
    for layer in layers:
        h[layer.name] = kind(layer).forward(layer, run.params.get(layer.name, {}), *(h[name] for name in layer.inputs))
        yield layer, h


Local = Callable[[Block, Array], Array]


def step_blocks(run: Run, layers: Sequence[Layer], parts: Sequence[Block], x: Start, local: Local) -> tuple[Gradients, Activations]:
    """The directions of all blocks for a batch x, and the activations of ``layers``, which contain the blocks.

    ``local(block, h)`` is a sample's d loss / d h at the block's end h, (B, ..).
    """
    owner = {layer.name: block for block in parts for layer in block.layers}
    h: Activations = dict(x) if isinstance(x, Mapping) else {"input": x}
    saved: dict[str, Any] = {}
    gradients: Gradients = {}
    for layer in layers:
        params, xs, block = run.params.get(layer.name, {}), tuple(h[name] for name in layer.inputs), owner.get(layer.name)
        if block is None:
            h[layer.name] = kind(layer).forward(layer, params, *xs)
            continue
        h[layer.name], saved[layer.name] = kind(layer).forward_training(layer, params, *xs)
        if layer is block.end:
            gradients |= backward(run, block, h, saved, local(block, h[layer.name]))
            saved = {}
    return gradients, h


def backward(run: Run, block: Block, h: Activations, saved: Mapping[str, Any], delta: Array) -> Gradients:
    """The gradients of the block's parameters from d loss / d its end; nothing leaves the block."""
    deltas, learning = {block.end.name: delta}, block.learning
    gradients: Gradients = {}
    for layer in reversed(block.layers):
        if layer.name not in deltas:
            continue
        params, xs = run.params.get(layer.name, {}), tuple(h[name] for name in layer.inputs)
        wanted = any(name in learning for name in layer.inputs)
        below, own = kind(layer).backward(layer, params, deltas.pop(layer.name), h[layer.name], xs, saved[layer.name], wanted=wanted)
        if own and layer.name not in block.fixed:
            gradients[layer.name] = own
        for name, value in zip(layer.inputs, below, strict=False):
            if name in learning:
                deltas[name] = sum_of(deltas[name], value) if name in deltas else value
    return gradients


Passes = Sequence[Mapping[str, Value]]
Deltas = Callable[[Block, Passes], Sequence[Value]]
Backward = Callable[[RuleBuilder, Block, Passes, Sequence[Value]], None]


def lower_blocks(
    build: RuleBuilder,
    layers: Sequence[Layer],
    parts: Sequence[Block],
    local: Deltas,
    *starts: Mapping[str, Value],
    backward: Backward | None = None,
) -> dict[str, Value]:
    """Emits ``layers`` and the learning of their blocks, each block's as soon as its end is computed; returns the first pass's values.

    ``backward`` emits the way back through a block and its updates, by default ``lower_backward``.

    There is a pass for each of ``starts``, which hold the values known before the first layer; by default one that starts at the input.
    ``local(block, passes)`` emits d loss / d the block's end of each pass from its values.
    """
    ends = {block.end.name: block for block in parts}
    passes = [dict(start) for start in starts] or [{"input": build.x}]
    for layer in layers:
        for values in passes:
            values[layer.name] = build.forward(layer, *(values[name] for name in layer.inputs))
        if layer.name in ends:
            (backward or lower_backward)(build, ends[layer.name], passes, local(ends[layer.name], passes))
    return passes[0]


def lower_backward(build: RuleBuilder, block: Block, passes: Passes, ends: Sequence[Value]) -> None:
    """Emits the way of d loss / d the block's end back through the block, and the updates: all passes see the old weights."""
    deltas, learning = [{block.end.name: end} for end in ends], block.learning
    for layer in reversed(block.layers):
        if layer.name not in deltas[0]:
            continue
        heres = [own.pop(layer.name) for own in deltas]
        wanted = any(name in learning for name in layer.inputs)
        for values, own, here in zip(passes, deltas, heres, strict=True):
            build.gate(here, values[layer.name], layer)
            below = build.input_gradients(layer, here, *(values[name] for name in layer.inputs)) if wanted else ()
            for name, value in zip(layer.inputs, below, strict=False):
                if name in learning:
                    own[name] = build.sum(own[name], value) if name in own else value
        if layer.name not in block.fixed:
            for values, here in zip(passes, heres, strict=True):
                build.update(layer, here, values[layer.inputs[0]])
