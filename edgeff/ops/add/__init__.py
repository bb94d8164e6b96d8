"""The sum of two activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import Array, Layer
from edgeff.kernels.activation import NONE, ActivationFunction
from edgeff.ops import Activated, Arrays, Named, Shape, operator
from edgeff.ops.add.kernel import ADD_BITS
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_numeric
from edgeff.ops.parallel import cached, each, empty


def sum_of(a: Array, c: Array, function: ActivationFunction = NONE) -> Array:
    """a + c through an activation function, on all cores."""
    y = empty(a.shape, a.dtype)

    def write(part: slice) -> None:
        function.apply(np.add(a[part], c[part], out=y[part]))

    each(write, cached(a, c, y))
    return y


@operator
@dataclass(frozen=True, kw_only=True)
class Add(Activated):
    """The sum of two activations of one shape: the end of a skip connection."""

    name: ClassVar[str] = "add"
    summary: ClassVar[str] = "the sum of two activations, optional ReLU or ReLU6"
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    arity: ClassVar[int] = 2

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return layer.shape[-1]

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return sum_of(xs[0], xs[1], self.function)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return delta, delta

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, sum_of(dxs[0], dxs[1]), y)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        """int8 (TFLite): both sides are brought to twice the larger input scale with 20 more bits."""
        check_numeric(layer)
        a, c = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        n = prod(layer.shape)
        if layer.numeric == "float32":
            build.call("eff_add_f32", [y], [a, c], {"n": n, **build.relu(layer)}, layer)
            return y
        attrs = {"n": n, "y_zero": y.zero_point} | build.ends(layer, y)
        common = 2.0 * max(a.scale, c.scale)
        what = f"requantisation of layer {layer.name!r}"
        for side, value in (("a", a), ("c", c)):
            attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = build.fixed_point(value.scale / common, what)
            attrs[f"{side}_zero"] = value.zero_point
        attrs["multiplier"], attrs["shift"] = build.fixed_point(common / (2.0**ADD_BITS * y.scale), what)
        build.call("eff_add_i8", [y], [a, c], attrs, layer)
        return y

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        a, c = dxs
        return build.sum(a, c) if a and c else build.copy(only((a or c,)))

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """The gradient of both inputs is the delta; the second gets a copy because each is changed in place further down."""
        return delta, build.copy(delta)
