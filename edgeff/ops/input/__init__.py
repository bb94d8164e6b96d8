"""A further input of a network, beside the one that every network has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.ops import Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Input(Operator):
    """The layer's name is that of the input, its shape that of a sample. What a caller gives there is no layer's to compute."""

    name: ClassVar[str] = "input"
    summary: ClassVar[str] = "a further input of the network"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    arity: ClassVar[int] = 0
    given: ClassVar[bool] = True

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return layer.shape

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """Zeros, (1, *shape): the state that a recurrent network begins with. ``edgeff.ops.forward`` puts in what is given."""
        return np.zeros((1, *layer.shape), np.float32)

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        return (), {}

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        return build.further_input(layer)
