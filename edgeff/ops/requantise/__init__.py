"""Another scale of integers, nothing in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from edgeff.ir import NUMERICS, SUFFIX, Array, Attr, Layer, Numeric
from edgeff.ops import Arrays, Named, Operator, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric


def lower_rescale(build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> None:
    """Emits y = x in y's scale, within the limits of the layer's activation."""
    multiplier, shift = build.fixed_point(x.scale / y.scale, f"requantisation of layer {layer.name!r}")
    attrs: dict[str, Attr] = {"n": prod(layer.shape), "x_zero": x.zero_point, "multiplier": multiplier, "shift": shift}
    attrs |= {"y_zero": y.zero_point} if y.dtype == "int8" else {}
    read = "" if x.dtype == y.dtype else f"_{SUFFIX[x.dtype]}"
    build.call(f"eff_rescale{read}_{SUFFIX[y.dtype]}", [y], [x], {**attrs, **build.ends(layer, y)}, layer)


@operator
@dataclass(frozen=True, kw_only=True)
class Requantise(Operator):
    """Nothing in float; the same numbers in another scale, int8 or int16 (TFLite's QUANTIZE between two integer tensors)."""

    name: ClassVar[str] = "requantise"
    summary: ClassVar[str] = "another scale of integers, nothing in float"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    works_in_place: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return xs[0]

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta,)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return dxs[0]

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """The delta itself."""
        return (delta,)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        if layer.numeric == "float32":
            return xs[0]
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        lower_rescale(build, layer, xs[0], y)
        return y
