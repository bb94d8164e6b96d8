"""Network -> what an analytic table counts of each layer: multiply-accumulates, values and parameters. Weights count by their shapes.

In comes a network with parameters, of any numeric; out goes one ``Count`` for each layer that computes, in order. Batch normalisation is
folded first; what can
work in place (reshapes, separate ReLUs) is passed over, for it computes nothing that a table counts and writes where it reads. Refused:
layer kinds that no published table knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from edgeff.errors import Unsupported
from edgeff.ir import Network
from edgeff.ops import Operator, kind
from edgeff.ops.canonical import canonical
from edgeff.registry import ops as registry

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Count:
    """What a layer counts for.

    ``inputs`` names the layers (or ``"input"``) whose values it reads; ``positions`` output pixels, steps or, of a vector, 1, each of
    ``channels`` values that take ``macs_per_position`` in all; ``padded_values`` the values of the first input with its zero padding;
    ``parameters`` weights and biases, 0 for a layer that learns nothing.
    """

    name: str
    op: Operator
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
    network = canonical(network)
    shapes: dict[str, Shape] = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
    source = {"input": "input"}
    found: list[Count] = []
    for layer in network:
        op, x = kind(layer), shapes[layer.inputs[0]]
        if op.works_in_place:
            source[layer.name] = source[layer.inputs[0]]
            continue
        macs = op.macs_per_position(layer, x)
        if macs is None:
            allowed = ", ".join(name for name, known in registry.items() if known.works_in_place or _has_formula(known))
            raise Unsupported(f"layer {layer.name!r} in an analytic table", got=layer.kind, allowed=allowed)
        source[layer.name] = layer.name
        *space, channels = layer.shape
        inputs = tuple(source[name] for name in layer.inputs)
        found.append(
            Count(
                layer.name,
                op,
                inputs,
                prod(space),
                channels,
                macs,
                op.padded_elements(x),
                sum(param.size for param in layer.params.values()),
            )
        )
    return tuple(found)


def _has_formula(operator: type[Operator]) -> bool:
    return operator.macs_per_position is not Operator.macs_per_position
