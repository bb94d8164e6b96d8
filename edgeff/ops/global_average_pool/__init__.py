"""The mean of each channel over the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.ops import Arrays, Named, Operator, Shape, operator
from edgeff.ops.average_pool2d import MOST_TAPS
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_numeric
from edgeff.ops.pool2d import MOST_TAPS_I16
from edgeff.ops.window import lower_window_gradient, lower_window_tangent

MOST_POSITIONS = 1 << 23


@operator
@dataclass(frozen=True, kw_only=True)
class GlobalAveragePool(Operator):
    """(H, W, C) -> (C,). int8: one requantisation of the sum, TFLite's MEAN (the multiplier of s_x / s_y divided by H W, rounded down)."""

    name: ClassVar[str] = "global_average_pool"
    summary: ClassVar[str] = "the mean of each channel"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    channelwise: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    input_axes: ClassVar[int | None] = 3

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (inputs[0][-1],)

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return prod(x)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.asarray(xs[0].mean(axis=(1, 2), dtype=xs[0].dtype))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        _, height, width, _ = xs[0].shape
        return (np.broadcast_to(delta[:, None, None] / np.asarray(height * width, delta.dtype), xs[0].shape),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        check_numeric(layer)
        height, width, channels = x.shape
        n = height * width
        build.at_most(x.dtype, MOST_TAPS_I16 if x.dtype == "int16" else MOST_POSITIONS, n, f"layer {layer.name!r}")
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        attrs: dict[str, Attr] = {"n": n, "in_c": channels}
        if layer.numeric != "float32":
            multiplier, shift = build.fixed_point(x.scale / y.scale, f"requantisation of layer {layer.name!r}")
            bits = max(min(n.bit_length() - 1, 31 + shift), 0)
            attrs |= {"x_zero": x.zero_point, "multiplier": (multiplier << bits) // n, "shift": shift - bits}
            attrs |= {"y_zero": y.zero_point} if layer.numeric == "int8" else build.ends(layer, y)
        build.call(f"eff_mean_{layer.suffix}", [y], [x], attrs, layer)
        return y

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        *places, channels = xs[0].shape
        return lower_window_tangent(build, layer, "eff_mean_f32", {"n": prod(places), "in_c": channels}, only(dxs), [])

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """int8: the one window of an average pool, its division in the scale of the gradient."""
        *places, channels = xs[0].shape
        if layer.numeric == "int8":
            n = prod(places)
            build.at_most("int8", MOST_TAPS, n, f"the gradient through layer {layer.name!r}")
            d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale / n, layer=layer.name)
            whole = {"in_h": n, "in_w": 1, "in_c": channels, "out_h": 1, "out_w": 1, "k_h": n, "k_w": 1, "out_c": channels}
            attrs = whole | {"stride_h": 1, "stride_w": 1, "pad_h": 0, "pad_w": 0, "groups": channels, "taps": n}
            build.call("eff_average_pool2d_input_gradient_i8", [d], [delta], attrs, layer, "backward")
            return (d,)
        return lower_window_gradient(build, layer, "eff_mean", {"n": prod(places), "in_c": channels}, xs[0], [delta])
