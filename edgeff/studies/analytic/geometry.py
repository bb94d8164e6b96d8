"""Network -> the counts of each layer for an analytic table: multiply-accumulates, values and parameters. Only the shapes of weights
matter.

In comes a network with parameters, of any numeric; out goes one ``Count`` for each layer that computes, in order. Batch normalisation is
folded first; layers that
work in place (reshapes, separate ReLUs) are skipped, since they compute nothing that a table counts and need no memory. Refused:
layer kinds that no published table has.
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
    """The counts of a layer.

    ``inputs`` names the layers (or ``"input"``) whose values it reads; ``positions`` output pixels, steps or, for a vector, 1, each of
    ``channels`` values that take ``macs_per_position`` in total; ``padded_values`` the values of the first input with its zero padding;
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
    result: list[Count] = []
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
        result.append(
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
    return tuple(result)


def _has_formula(operator: type[Operator]) -> bool:
    return operator.macs_per_position is not Operator.macs_per_position
