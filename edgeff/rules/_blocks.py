"""Blocks: runs of layers that learn from a loss of their own at their end, and from nothing above it.

A block has a few layers with weights and what stands between them. On the host and on the device alike its end is computed, its loss says
what the end shall change, that walks back inside the block, and the next block reads the end as plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.layers import Activations, kind
from edgeff.layers.elementwise import sum_of
from edgeff.rules import Gradients, Run

FOLLOWING = ("batch_norm", "relu", "add")
"""Kinds that belong to the layer whose output they read: a block does not end between the two."""


@dataclass(frozen=True)
class Block:
    """The layers of a block in the network's order; the last one is its end, where its loss stands."""

    layers: tuple[Layer, ...]

    @property
    def end(self) -> Layer:
        return self.layers[-1]

    @property
    def trainable(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.trainable)

    @property
    def learning(self) -> frozenset[str]:
        """The layers that a gradient has to reach: those whose output depends on a weight of the block."""
        found: set[str] = set()
        for layer in self.layers:
            if layer.trainable or any(name in found for name in layer.inputs):
                found.add(layer.name)
        return frozenset(found)


def branches(network: Network) -> frozenset[str]:
    """The layers of local heads: those that lead to a softmax which nobody reads and which is not the output."""
    read = {name for layer in network for name in layer.inputs}
    found: set[str] = set()
    for layer in reversed(network.layers):
        readers = [other.name for other in network if layer.name in other.inputs]
        is_end = layer.op == "softmax" and layer.name not in read and layer.name.endswith(LOCAL)
        if is_end or (readers and all(name in found for name in readers)):
            found.add(layer.name)
    return frozenset(found)


LOCAL = "_local"
"""How the name of a local head's last layer ends."""


def trunk(network: Network) -> tuple[Layer, ...]:
    """The network's layers without local heads."""
    beside = branches(network)
    return tuple(layer for layer in network if layer.name not in beside)


def blocks(network: Network, size: int = 1, *, head: bool = True) -> tuple[Block, ...]:
    """The blocks of ``size`` layers with weights each; the last may have fewer. Batch normalisation does not count.

    With a ``head`` the last layer with weights is in no block. Raises Unsupported where a layer of a block does not lead to its end.
    """
    layers = trunk(network)
    weighted = [index for index, layer in enumerate(layers) if layer.trainable]
    behind = weighted.pop() if head and weighted else len(layers)
    cores = [index for index in weighted if layers[index].op != "batch_norm"]
    found = []
    for first in range(0, len(cores), size):
        part = cores[first : first + size]
        last = part[-1]
        while last + 1 < behind and layers[last + 1].op in FOLLOWING and layers[last].name in layers[last + 1].inputs:
            last += 1
        block = Block(layers[part[0] : last + 1])
        _check(block)
        found.append(block)
    return tuple(found)


def _check(block: Block) -> None:
    """Raises Unsupported for a layer with weights that its block's end does not depend on."""
    needed = {block.end.name}
    for layer in reversed(block.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
        elif layer.trainable:
            raise Unsupported(
                f"a block that ends in layer {block.end.name!r}",
                got=f"layer {layer.name!r}, which does not lead there",
                allowed="layers that lead to the end of their block",
                next_step="choose another number of layers a block",
            )


def step_blocks(
    run: Run, parts: tuple[Block, ...], x: Array, local: Callable[[Block, Array], Array], head: Layer | None
) -> tuple[Gradients, Activations]:
    """The directions of all blocks for a batch x, and the activations up to what ``head`` reads (None: up to the last block's end).

    ``local(block, h)`` is d loss / d h at the block's end h, averaged over nothing: the mean over the batch is taken with the weights.
    """
    owner = {layer.name: block for block in parts for layer in block.layers}
    h: Activations = {"input": x}
    saved: dict[str, Any] = {}
    gradients: Gradients = {}
    for layer in trunk(run.network):
        if layer is head or (head is None and parts and layer.name not in owner and parts[-1].end.name in h):
            break
        xs, params = tuple(h[name] for name in layer.inputs), run.params.get(layer.name, {})
        block = owner.get(layer.name)
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
    deltas, learning, gradients = {block.end.name: delta}, block.learning, {}
    for layer in reversed(block.layers):
        if layer.name not in deltas:
            continue
        params, xs = run.params.get(layer.name, {}), tuple(h[name] for name in layer.inputs)
        wanted = any(name in learning for name in layer.inputs)
        below, own = kind(layer).backward(layer, params, deltas.pop(layer.name), h[layer.name], xs, saved[layer.name], wanted=wanted)
        if own:
            gradients[layer.name] = own
        for name, value in zip(layer.inputs, below, strict=False):
            if name in learning:
                deltas[name] = sum_of(deltas[name], value) if name in deltas else value
    return gradients


def head_outputs(run: Run, head: Layer, h: Activations) -> Array:
    """The network's output from what its head reads."""
    values = dict(h)
    layers = trunk(run.network)
    for layer in layers[layers.index(head) :]:
        values[layer.name] = kind(layer).forward(layer, run.params.get(layer.name, {}), *(values[name] for name in layer.inputs))
    return values[layers[-1].name]


def lower_blocks(build: Any, parts: tuple[Block, ...], local: Callable[[Block, dict[str, Any]], Any]) -> dict[str, Any]:
    """Emits the learning of all blocks, each as soon as its end is computed; returns the values up to what the head reads."""
    ends = {block.end.name: block for block in parts}
    head = None if build.classes is not None else build.network.upstream.trainable[-1]
    values = {"input": build.x}
    for layer in trunk(build.network):
        if layer is head or (head is None and len(ends) == 0):
            break
        values[layer.name] = build.forward(layer, *(values[name] for name in layer.inputs))
        if layer.name in ends:
            block = ends.pop(layer.name)
            lower_backward(build, block, values, local(block, values))
    return values


def lower_backward(build: Any, block: Block, values: Mapping[str, Any], delta: Any) -> None:
    """Emits the way of ``delta``, d loss / d the block's end, back through the block, and the updates."""
    deltas, learning = {block.end.name: delta}, block.learning
    for layer in reversed(block.layers):
        if layer.name not in deltas:
            continue
        delta, xs = deltas.pop(layer.name), [values[name] for name in layer.inputs]
        build.gate(delta, values[layer.name], layer)
        below = build.input_gradients(layer, delta, *xs) if any(name in learning for name in layer.inputs) else ()
        build.update(layer, delta, xs[0])
        for name, value in zip(layer.inputs, below, strict=False):
            if name in learning:
                deltas[name] = build.sum(deltas[name], value) if name in deltas else value
