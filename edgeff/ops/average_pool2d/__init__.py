"""The average of each window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.ops import operator, pool_math
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pool2d import Pool2d


@operator
@dataclass(frozen=True, kw_only=True)
class AveragePool2d(Pool2d):
    """The mean of the taps inside the image."""

    name: ClassVar[str] = "average_pool2d"
    summary: ClassVar[str] = "the average of each window"
    kernel: ClassVar[str] = "eff_average_pool2d"
    pool: ClassVar[Callable[..., Array]] = staticmethod(pool_math.average_pool2d)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (pool_math.average_pool2d_gradient(delta, xs[0].shape, self.window, self.stride, self.pads),)

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """int8: the division by the number of taps is part of the gradient's scale, so all windows must have the same number."""
        if layer.numeric != "int8":
            return super().lower_input_gradients(build, layer, delta, *xs)
        if any(self.pads):
            raise Unsupported(f"the gradient through layer {layer.name!r} in int8", got="a pool with padding", allowed="none")
        d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale / prod(self.window), layer=layer.name)
        build.call("eff_average_pool2d_input_gradient_i8", [d], [delta], self.geometry(layer, xs[0].shape), layer, "backward")
        return (d,)
