"""Network -> what an analytic table counts of each layer: multiply-accumulates, values and parameters. Weights count by their shapes.

In comes a network with parameters, of any numeric; out goes one ``Count`` for each layer that computes, in order. Batch normalisation is
folded first; reshapes and separate ReLUs are passed over, for they compute nothing that a table counts and write where they read. Refused:
layer kinds that no published table knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from edgeff.errors import Unsupported
from edgeff.ir import Layer, Network
from edgeff.ops.folding import fold

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Count:
    """What a layer counts for.

    ``inputs`` names the layers (or ``"input"``) whose values it reads; ``positions`` output pixels, steps or, of a vector, 1, each of
    ``channels`` values that take ``macs_per_position`` in all; ``padded_values`` the values of the first input with its zero padding;
    ``parameters`` weights and biases, 0 for a layer that learns nothing.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    positions: int
    channels: int
    macs_per_position: int
    padded_values: int
    parameters: int

    @property
    def macs(self) -> int:
        return self.positions * self.macs_per_position

    @property
    def values(self) -> int:
        """The values of the output."""
        return self.positions * self.channels

    @property
    def learns(self) -> bool:
        return self.parameters > 0


def counts(network: Network) -> tuple[Count, ...]:
    """The counts of every layer of ``network`` that computes, in its order. Raises Unsupported for a layer kind without a formula."""
    network = fold(network)
    shapes: dict[str, Shape] = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
    source = {"input": "input"}
    found: list[Count] = []
    for layer in network:
        if layer.op in _WRITES_WHERE_IT_READS:
            source[layer.name] = source[layer.inputs[0]]
            continue
        if layer.op not in _MACS_PER_POSITION:
            raise Unsupported(
                f"layer {layer.name!r} in an analytic table",
                got=layer.op,
                allowed=", ".join((*_MACS_PER_POSITION, *sorted(_WRITES_WHERE_IT_READS))),
            )
        source[layer.name] = layer.name
        *space, channels = layer.shape
        inputs = tuple(source[name] for name in layer.inputs)
        found.append(
            Count(
                layer.name,
                layer.op,
                inputs,
                prod(space),
                channels,
                _MACS_PER_POSITION[layer.op](layer, shapes[layer.inputs[0]]),
                _padded(layer, shapes[layer.inputs[0]]),
                sum(param.size for param in layer.params.values()),
            )
        )
    return tuple(found)


def _weights(layer: Layer, _inputs: Shape) -> int:
    """Each weight is used once at each position; taps that fall on the padding count too."""
    return layer.params["weight"].size


def _window(layer: Layer, _inputs: Shape) -> int:
    return int(layer.attrs["pool_h"]) * int(layer.attrs["pool_w"]) * layer.shape[-1]


_WRITES_WHERE_IT_READS = frozenset({"relu", "reshape"})
_MACS_PER_POSITION: Mapping[str, Callable[[Layer, Shape], int]] = {
    "dense": _weights,
    "conv2d": _weights,
    "depthwise_conv2d": _weights,
    "conv1d": _weights,
    "average_pool2d": _window,
    "max_pool2d": _window,
    "global_average_pool": lambda _layer, inputs: prod(inputs),
    "add": lambda layer, _inputs: layer.shape[-1],
    "transpose": lambda _layer, _inputs: 0,
    "softmax": lambda _layer, _inputs: 0,  # no products: what one costs is for a table to say
}


def _padded(layer: Layer, inputs: Shape) -> int:
    """The values of the first input with the layer's zero padding around it."""
    if "pad_top" in layer.attrs:
        height, width, channels = inputs
        vertical = int(layer.attrs["pad_top"]) + int(layer.attrs["pad_bottom"])
        horizontal = int(layer.attrs["pad_left"]) + int(layer.attrs["pad_right"])
        return (height + vertical) * (width + horizontal) * channels
    if "pad_left" in layer.attrs:
        length, channels = inputs
        return (length + int(layer.attrs["pad_left"]) + int(layer.attrs["pad_right"])) * channels
    return prod(inputs)
