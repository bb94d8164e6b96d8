"""The walk of a gradient from a layer's output down a network, shared by back-propagation, its lowering and attacks on the input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from edgeff.ir import Array, Layer, Network
from edgeff.ops import Activations, Params, kind
from edgeff.ops.add import sum_of

DeltaT = TypeVar("DeltaT")


def walk_back(
    network: Network,
    top: str,
    delta: DeltaT,
    reached: Collection[str],
    through: Callable[[Layer, DeltaT, bool], Sequence[DeltaT]],
    add: Callable[[DeltaT, DeltaT], DeltaT],
) -> dict[str, DeltaT]:
    """The deltas that no layer passes on: that of ``"input"``, if it is among ``reached``.

    Args: ``delta`` at the output of layer ``top``; ``reached``, the names whose delta is wanted; ``through(layer, delta, wanted)`` gives
    the deltas of the layer's inputs, or none if they are not ``wanted``; ``add`` sums the deltas of one name.
    """
    deltas = {top: delta}
    for layer in reversed(network.layers[: network.layers.index(network[top]) + 1]):
        if layer.name not in deltas:
            continue
        below = through(layer, deltas.pop(layer.name), any(name in reached for name in layer.inputs))
        for name, value in zip(layer.inputs, below, strict=False):
            if name in reached:
                deltas[name] = add(deltas[name], value) if name in deltas else value
    return deltas


def input_gradient(network: Network, params: Params, h: Activations, top: str, delta: Array) -> Array:
    """d loss / d input (B, *input shape) from delta = d loss / d output of layer ``top`` (B, *shape), in the dtype of both.

    Args: ``h``, what ``layers.forward`` returned. Raises Unsupported for a layer that passes no gradient on.
    """

    def through(layer: Layer, delta: Array, _wanted: bool) -> tuple[Array, ...]:
        item, given = kind(layer), params.get(layer.name, {})
        return item.input_gradients(layer, given, item.gate(layer, delta, h[layer.name]), *(h[name] for name in layer.inputs))

    every = {"input", *(layer.name for layer in network)}
    return walk_back(network, top, delta, every, through, sum_of)["input"]
