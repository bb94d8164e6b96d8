"""What an operator's lowering is given: the values that it reads, and the part of a program's builder that it may use.

``edgeff.program.lower.Builder`` is the builder and describes what each method does. Operators stand below it and know this much of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from edgeff.errors import BadInput
from edgeff.ir import Array, Attr, Layer, Parameters, Quant


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor as a rule sees it: its name, shape and dtype, and for integers the meaning of one step."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 1.0
    zero_point: int = 0

    @property
    def elements(self) -> int:
        return prod(self.shape)


def only(tangents: tuple[Value | None, ...]) -> Value:
    """The one tangent of an operator with one input. Raises BadInput if the input stands still: nothing is lowered then."""
    (tangent,) = tangents
    if tangent is None:
        raise BadInput("a forward derivative", got="an input that stands still", allowed="one that moves")
    return tangent


class OperatorBuilder(Protocol):
    """The part of ``edgeff.program.lower.Builder`` that operators use."""

    lr: float
    largest_error: float
    stochastic: bool
    symmetric: bool

    @property
    def rate(self) -> Value: ...

    @property
    def step(self) -> Value: ...

    def activation(
        self,
        name: str,
        shape: Sequence[int],
        *,
        dtype: str | None = None,
        quant: Quant | None = None,
        scale: float | None = None,
        layer: str = "",
    ) -> Value: ...

    def constant(self, name: str, data: Array, quant: Quant | None = None, layer: str = "") -> Value: ...

    def further_input(self, layer: Layer) -> Value: ...

    def remembered(self, layer: Layer, name: str, shape: Sequence[int], quant: Quant | None = None) -> Value: ...

    def weight(self, layer: Layer) -> Value: ...

    def parameter(self, layer: Layer, name: str) -> Value | None: ...

    def call(
        self,
        kernel: str,
        outputs: Sequence[Value],
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Attr | Parameters],
        layer: Layer | None = None,
        stage: str = "forward",
    ) -> None: ...

    def key(self, *names: str) -> int: ...

    def fixed_point(self, real: float, what: str) -> tuple[int, int]: ...

    def multipliers(self, layer: Layer, x_scale: float, y_scale: float, factor: float) -> tuple[Value, Value, bool]: ...

    def at_most(self, dtype: str, most: int, terms: int, what: str) -> None: ...

    def gradient_scale(self, largest: float) -> float: ...

    def relu(self, layer: Layer) -> dict[str, Attr]: ...

    def ends(self, layer: Layer, y: Value) -> dict[str, Attr]: ...

    def copy(self, x: Value) -> Value: ...

    def sum(self, a: Value, c: Value) -> Value: ...

    def embed(self, layer: Layer, x: Value, label: Value) -> Value: ...

    def class_number(self, value: int, into: Value | None = None) -> Value: ...
