"""The sum of two activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric, Parameters
from edgeff.kernels.activation import NONE, ActivationFunction
from edgeff.kernels.broadcast import broadcast
from edgeff.ops import Activated, Arrays, Named, operator
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_numeric
from edgeff.ops.pairwise import Pairwise, in_common_scale
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
class Add(Pairwise, Activated):
    """The sum of two activations: the end of a skip connection. Either may be broadcast."""

    name: ClassVar[str] = "add"
    summary: ClassVar[str] = "the sum of two activations, either broadcast, optional ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS

    def value(self, a: Array, c: Array) -> Array:
        return a + c

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        return 1.0, 1.0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        if xs[0].shape != xs[1].shape:
            return super().forward(layer, params, *xs)
        return sum_of(xs[0], xs[1], self.function)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta, delta) if xs[0].shape == xs[1].shape else super().input_gradients(layer, params, delta, *xs)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        if dxs[0].shape != dxs[1].shape:
            return super().jvp(layer, params, tangents, dxs, xs, y, saved)
        return self.gate(layer, sum_of(dxs[0], dxs[1]), y)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        """Integers (TFLite): both sides are brought to twice the larger input scale with 20 more bits, in int16 with 15."""
        check_numeric(layer)
        a, c = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        alike = a.shape == c.shape and layer.numeric != "int16"
        sizes: Mapping[str, Attr | Parameters] = {"n": prod(layer.shape)} if alike else {"how": broadcast(a.shape, c.shape)}
        numbers = build.relu(layer) if layer.numeric == "float32" else in_common_scale(build, layer, y, (a, c))
        build.call(f"eff_add_{'' if alike else 'broadcast_'}{layer.suffix}", [y], [a, c], {**sizes, **numbers}, layer)
        return y

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        self._check_alike(layer, xs)
        a, c = dxs
        return build.sum(a, c) if a and c else build.copy(only((a or c,)))

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """The gradient of both inputs is the delta; the second gets a copy because each is changed in place further down."""
        self._check_alike(layer, xs)
        return delta, build.copy(delta)

    def _check_alike(self, layer: Layer, xs: tuple[Value, ...]) -> None:
        if xs[0].shape != xs[1].shape:
            got = f"inputs of shapes {xs[0].shape} and {xs[1].shape}"
            raise Unsupported(f"a gradient through layer {layer.name!r}, add", got=got, allowed="one shape")
