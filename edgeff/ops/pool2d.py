"""Pooling over images (H, W, C): the average or the largest of a window's taps inside the image, and the mean of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from edgeff.errors import BadInput, short
from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, Named, Shape
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_numeric
from edgeff.ops.window import Pair, Windowed, lower_window_gradient, lower_window_tangent

MOST_TAPS_I16 = 32_768
"""Taps of int16 that can be summed in 32 bits."""


@dataclass(frozen=True, kw_only=True)
class Pool2d(Windowed):
    """An operator over the taps of a window inside the image, at least one of which must exist."""

    keeps_quant: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    channelwise: ClassVar[bool] = True
    kernel: ClassVar[str] = ""
    gradient_reads_input: ClassVar[bool] = False
    pool: ClassVar[Callable[..., Array]]
    pool_h: Count
    pool_w: Count

    @property
    def window(self) -> Pair:
        return self.pool_h, self.pool_w

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        """Refuses a window that lies outside the image: it would have nothing to average."""
        (top, left, bottom, right), (height, width, channels) = self.pads, inputs[0]
        size = self.output_size(layer, height, width)
        vertical = height, self.pool_h, self.stride_h, size[0], top, bottom
        for length, pool, stride, count, before, after in (vertical, (width, self.pool_w, self.stride_w, size[1], left, right)):
            if before >= pool or (count - 1) * stride - before >= length:
                got = f"{before} and {after} around {length}"
                raise BadInput(f"layer {short(layer.name)}, padding", got=got, allowed=f"less than the pool's {pool}")
        return (*size, channels)

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return self.pool_h * self.pool_w * layer.shape[-1]

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return self.function.apply(type(self).pool(xs[0], self.window, self.stride, self.pads))

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, self.slope(layer, dxs[0], xs[0]), y)

    def slope(self, layer: Layer, dx: Array, x: Array) -> Array:
        """The change of the pool of x along dx."""
        return type(self).pool(dx, self.window, self.stride, self.pads)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        build.at_most(
            xs[0].dtype if layer.numeric == "int16" else "float32", MOST_TAPS_I16, prod(self.window), f"a window of {layer.name!r}"
        )
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        ends = build.relu(layer) if layer.numeric == "float32" else build.ends(layer, y)
        build.call(f"{self.kernel}_{layer.suffix}", [y], [xs[0]], self.geometry(layer, xs[0].shape) | ends, layer)
        return y

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        return lower_window_tangent(build, layer, f"{self.kernel}_f32", self.geometry(layer, xs[0].shape) | {"relu": 0}, only(dxs), [])

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """The largest element of a window is searched again in its input."""
        read = [delta, xs[0]] if self.gradient_reads_input else [delta]
        return lower_window_gradient(build, layer, self.kernel, self.geometry(layer, xs[0].shape), xs[0], read)
