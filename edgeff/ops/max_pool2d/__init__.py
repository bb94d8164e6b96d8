"""The largest of each window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.ops import operator, pool_math
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.pool2d import Pool2d
from edgeff.ops.window import lower_window_tangent


@operator
@dataclass(frozen=True, kw_only=True)
class MaxPool2d(Pool2d):
    """The largest of the taps inside the image."""

    name: ClassVar[str] = "max_pool2d"
    summary: ClassVar[str] = "the largest of each window"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    kernel: ClassVar[str] = "eff_max_pool2d"
    gradient_reads_input: ClassVar[bool] = True
    pool: ClassVar[Callable[..., Array]] = staticmethod(pool_math.max_pool2d)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (pool_math.max_pool2d_gradient(delta, xs[0], self.window, self.stride, self.pads),)

    def slope(self, layer: Layer, dx: Array, x: Array) -> Array:
        return pool_math.max_pool2d_tangent(dx, x, self.window, self.stride, self.pads)

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        """The largest element of a window is searched again in its input."""
        return lower_window_tangent(build, layer, "eff_max_pool2d_tangent_f32", self.geometry(layer, xs[0].shape), only(dxs), [xs[0]])

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """int8: the gradient keeps the scale of delta."""
        if layer.numeric != "int8":
            return super().lower_input_gradients(build, layer, delta, *xs)
        d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale, layer=layer.name)
        build.call("eff_max_pool2d_input_gradient_i8", [d], [delta, xs[0]], self.geometry(layer, xs[0].shape), layer, "backward")
        return (d,)
