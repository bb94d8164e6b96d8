"""Feedback that reaches a layer directly: through which activation functions it passes on its way to the layer's weights."""

from __future__ import annotations

from collections.abc import Mapping

from edgeff.ir import Array, Layer, Network
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.rules._building import RuleBuilder


def activations_after(network: Network, layer: Layer) -> list[Layer]:
    """The free-standing activation functions that ``layer`` ends in, in the order of the network."""
    functions: list[Layer] = []
    while True:
        readers = [other for other in network if (functions[-1] if functions else layer).name in other.inputs]
        op = kind(readers[0]) if len(readers) == 1 else None
        if op is None or not op.elementwise or op.arity != 1 or readers[0].trainable:
            return functions
        functions.append(readers[0])


def through_activations(network: Network, layer: Layer, delta: Array, h: Mapping[str, Array]) -> Array:
    """Feedback ``delta`` (B, *shape) times the slope of every activation function that ``layer`` ends in, its own too."""
    for after in reversed(activations_after(network, layer)):
        (delta,) = kind(after).input_gradients(after, {}, kind(after).gate(after, delta, h[after.name]), h[after.inputs[0]])
    return kind(layer).gate(layer, delta, h[layer.name])


def lower_through_activations(build: RuleBuilder, layer: Layer, delta: Value, h: Mapping[str, Value]) -> Value:
    """Emits the same."""
    for after in reversed(activations_after(build.network, layer)):
        build.gate(delta, h[after.name], after)
        (delta,) = build.input_gradients(after, delta, h[after.inputs[0]])
    build.gate(delta, h[layer.name], layer)
    return delta
