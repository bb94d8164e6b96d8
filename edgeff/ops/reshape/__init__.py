"""The same elements in another shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from edgeff.errors import BadInput
from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.ops import Arrays, Named, Operator, operator
from edgeff.ops.building import OperatorBuilder, Value, only


@operator
@dataclass(frozen=True, kw_only=True)
class Reshape(Operator):
    """The same elements in C order as an activation of the layer's shape."""

    name: ClassVar[str] = "reshape"
    summary: ClassVar[str] = "another shape of the same elements"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_places: ClassVar[bool] = True
    works_in_place: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    keeps_quant: ClassVar[bool] = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        if prod(layer.shape) != prod(inputs[0]):
            raise BadInput(f"layer {layer.name!r}", got=f"{inputs[0]} as {layer.shape}", allowed="as many elements")
        return layer.shape

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return xs[0].reshape(len(xs[0]), *layer.shape)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta.reshape(xs[0].shape),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        return replace(xs[0], shape=layer.shape)

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        return replace(only(dxs), shape=layer.shape)

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        return (replace(delta, shape=xs[0].shape),)
