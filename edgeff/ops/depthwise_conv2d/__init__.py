"""The depthwise 2-D convolution: each channel alone."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

import numpy as np

from edgeff.ir import Array, Attr, Layer
from edgeff.ops import windows
from edgeff.ops.parallel import column_sums
from edgeff.ops.weighted import Weighted
from edgeff.ops.window import (
    geometry,
    lower_window,
    lower_window_gradient,
    lower_window_tangent,
    lower_window_update,
    output_size,
    pads,
    stride,
    window,
)
from edgeff.registry import ops


class DepthwiseConv2d(Weighted):
    """attrs: also ``multiplier``, the outputs of each channel; params: ``weight`` (KH, KW, C * multiplier), ``bias`` (C * multiplier,)."""

    op = "depthwise_conv2d"
    summary = "2-D convolution of each channel alone, optional bias and ReLU or ReLU6"
    weight_axis = 2
    per_channel = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return (*output_size(layer, *inputs[0][:2]), inputs[0][2] * int(layer.attrs["multiplier"]))

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-sqrt(6 / (KH KW)))``, bias zero."""
        k_h, k_w = window(layer)
        limit = sqrt(6.0 / (k_h * k_w))
        channels = inputs[0][2] * int(layer.attrs["multiplier"])
        params: dict[str, Array] = {"weight": rng.uniform(-limit, limit, (k_h, k_w, channels)).astype(np.float32)}
        if layer.attrs.get("bias"):
            params["bias"] = np.zeros(channels, np.float32)
        return params

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        return windows.depthwise_conv2d(x, weight, stride(layer), pads(layer), int(layer.attrs["multiplier"]))

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        depth = int(layer.attrs["multiplier"])
        gradients = {"weight": windows.depthwise_weight_gradient(delta, x, window(layer), stride(layer), pads(layer), depth) / len(x)}
        if "bias" in params:
            gradients["bias"] = column_sums(delta) / len(x)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        depth = int(layer.attrs["multiplier"])
        return (windows.depthwise_input_gradient(delta, params["weight"], xs[0].shape, stride(layer), pads(layer), depth),)

    def _lowered(self, layer: Layer, x: Any) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_depthwise_conv2d", geometry(layer, x.shape)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        return lower_window(build, layer, *self._lowered(layer, xs[0]), xs[0], prod(window(layer)))

    def lower_update(self, build: Any, layer: Layer, delta: Any, x: Any) -> None:
        lower_window_update(build, layer, *self._lowered(layer, x), delta, x)

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_tangent(build, layer, f"{name}_f32", attrs | {"relu": 0}, dxs[0], [build.parameter(layer, "weight"), None])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_gradient(build, layer, name, attrs, xs[0], [delta, build.parameter(layer, "weight")])


ops.add("depthwise_conv2d", DepthwiseConv2d())
