"""Pooling over images (H, W, C): the average or the largest of a window's taps inside the image, and the mean of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, LayerKind, Named, activate, gated, pooling
from edgeff.ops.conv2d import geometry, lower_window_gradient, lower_window_tangent, output_size, pads, stride, window
from edgeff.registry import ops

MOST_POSITIONS = 1 << 23


class Pool2d(LayerKind):
    """attrs: ``pool_h pool_w stride_h stride_w pad_top pad_left pad_bottom pad_right activation``. Every window has a tap inside."""

    keeps_quant = True
    kernel = ""
    gradient_reads_input = False
    pool: Callable[..., Array]
    pool_gradient: Callable[..., Array]

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (*output_size(layer, *inputs[0][:2]), inputs[0][2])

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return activate(layer, type(self).pool(xs[0], window(layer), stride(layer), pads(layer)))

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        return gated(layer, delta, y)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, self.slope(layer, dxs[0], xs[0]), y)

    def slope(self, layer: Layer, dx: Array, x: Array) -> Array:
        """What the pool of x moves by along dx."""
        return type(self).pool(dx, window(layer), stride(layer), pads(layer))

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        if build.numeric not in ("float32", "int8"):
            raise Unsupported(f"layer {layer.name!r}, {layer.op} in {build.numeric}", got=build.numeric, allowed="float32, int8")
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        ends = build.relu(layer) if build.numeric == "float32" else build.ends(layer, y)
        build.call(f"{self.kernel}_{build.suffix}", [y], [xs[0]], geometry(layer, xs[0].shape) | ends, layer)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        return lower_window_tangent(build, layer, f"{self.kernel}_f32", geometry(layer, xs[0].shape) | {"relu": 0}, dxs[0], [])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """The largest of a window is found again in its input."""
        read = [delta, xs[0]] if self.gradient_reads_input else [delta]
        return lower_window_gradient(build, layer, self.kernel, geometry(layer, xs[0].shape), xs[0], read)


class AveragePool2d(Pool2d):
    """The mean of the taps inside the image."""

    op = "average_pool2d"
    summary = "the average of each window"
    kernel = "eff_average_pool2d"
    pool = staticmethod(pooling.average_pool2d)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (pooling.average_pool2d_gradient(delta, xs[0].shape, window(layer), stride(layer), pads(layer)),)

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """int8: the division by a window's taps is in the scale of the gradient, so all windows must have as many."""
        if build.numeric != "int8":
            return super().lower_input_gradients(build, layer, delta, *xs)
        if any(pads(layer)):
            raise Unsupported(f"the gradient through layer {layer.name!r} in int8", got="a pool with padding", allowed="none")
        d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale / prod(window(layer)), layer=layer.name)
        build.call("eff_average_pool2d_input_gradient_i8", [d], [delta], geometry(layer, xs[0].shape), layer, "backward")
        return (d,)


class MaxPool2d(Pool2d):
    """The largest of the taps inside the image."""

    op = "max_pool2d"
    summary = "the largest of each window"
    kernel = "eff_max_pool2d"
    gradient_reads_input = True
    pool = staticmethod(pooling.max_pool2d)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (pooling.max_pool2d_gradient(delta, xs[0], window(layer), stride(layer), pads(layer)),)

    def slope(self, layer: Layer, dx: Array, x: Array) -> Array:
        return pooling.max_pool2d_tangent(dx, x, window(layer), stride(layer), pads(layer))

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        """The largest of a window is found again in its input."""
        return lower_window_tangent(build, layer, "eff_max_pool2d_tangent_f32", geometry(layer, xs[0].shape), dxs[0], [xs[0]])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """int8: the gradient keeps the scale of delta."""
        if build.numeric != "int8":
            return super().lower_input_gradients(build, layer, delta, *xs)
        d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale, layer=layer.name)
        build.call("eff_max_pool2d_input_gradient_i8", [d], [delta, xs[0]], geometry(layer, xs[0].shape), layer, "backward")
        return (d,)


class GlobalAveragePool(LayerKind):
    """(H, W, C) -> (C,). int8: one requantisation of the sum, TFLite's MEAN (the multiplier of s_x / s_y divided by H W, rounded down)."""

    op = "global_average_pool"
    summary = "the mean of each channel"

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (inputs[0][-1],)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.asarray(xs[0].mean(axis=(1, 2), dtype=xs[0].dtype))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        _, height, width, _ = xs[0].shape
        return (np.broadcast_to(delta[:, None, None] / np.asarray(height * width, delta.dtype), xs[0].shape),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        (x,) = xs
        if build.numeric not in ("float32", "int8"):
            raise Unsupported(f"layer {layer.name!r}, {layer.op} in {build.numeric}", got=build.numeric, allowed="float32, int8")
        height, width, channels = x.shape
        n = height * width
        build.at_most(MOST_POSITIONS, n, f"layer {layer.name!r}")
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        attrs = {"n": n, "in_c": channels}
        if build.numeric == "int8":
            multiplier, shift = build.fixed_point(x.scale / y.scale, f"requantisation of layer {layer.name!r}")
            bits = max(min(n.bit_length() - 1, 31 + shift), 0)
            attrs |= {"x_zero": x.zero_point, "y_zero": y.zero_point, "multiplier": (multiplier << bits) // n, "shift": shift - bits}
        build.call(f"eff_mean_{build.suffix}", [y], [x], attrs, layer)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        *places, channels = xs[0].shape
        return lower_window_tangent(build, layer, "eff_mean_f32", {"n": prod(places), "in_c": channels}, dxs[0], [])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """int8: the one window of an average pool, its division in the scale of the gradient."""
        *places, channels = xs[0].shape
        if build.numeric == "int8":
            n = prod(places)
            d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale / n, layer=layer.name)
            whole = {"in_h": n, "in_w": 1, "in_c": channels, "out_h": 1, "out_w": 1, "k_h": n, "k_w": 1}
            attrs = whole | {"stride_h": 1, "stride_w": 1, "pad_h": 0, "pad_w": 0}
            build.call("eff_average_pool2d_input_gradient_i8", [d], [delta], attrs, layer, "backward")
            return (d,)
        return lower_window_gradient(build, layer, "eff_mean", {"n": prod(places), "in_c": channels}, xs[0], [delta])


ops.add("average_pool2d", AveragePool2d())
ops.add("max_pool2d", MaxPool2d())
ops.add("global_average_pool", GlobalAveragePool())
