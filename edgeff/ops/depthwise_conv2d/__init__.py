"""The depthwise 2-D convolution: each channel separately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.kernels.updates import SAFE_PRODUCTS
from edgeff.ops import Shape, operator, window_math
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.parallel import column_sums
from edgeff.ops.window import (
    Convolution,
    lower_channel_bias_update,
    lower_convolution_gradient,
    lower_window,
    lower_window_tangent,
    lower_window_update,
)


@operator
@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2d(Convolution):
    """``multiplier``: the outputs of each channel; params: ``weight`` (KH, KW, C * multiplier), ``bias`` (C * multiplier,)."""

    name: ClassVar[str] = "depthwise_conv2d"
    summary: ClassVar[str] = "2-D convolution of each channel separately, optional bias and ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    channelwise: ClassVar[bool] = True
    weight_axis: ClassVar[int] = 2
    multiplier: Count = 1

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return (*self.output_size(layer, *inputs[0][:2]), inputs[0][2] * self.multiplier)

    def weight_shape(self, layer: Layer, x: Shape) -> Shape:
        return *self.window, x[2] * self.multiplier

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        return window_math.depthwise_conv2d(x, weight, self.stride, self.pads, self.multiplier)

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        gradient = window_math.depthwise_weight_gradient(delta, x, self.window, self.stride, self.pads, self.multiplier)
        gradients = {"weight": gradient / len(x)}
        if "bias" in params:
            gradients["bias"] = column_sums(delta) / len(x)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (window_math.depthwise_input_gradient(delta, params["weight"], xs[0].shape, self.stride, self.pads, self.multiplier),)

    def _lowered(self, layer: Layer, x: Value) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_depthwise_conv2d", self.geometry(layer, x.shape)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        return lower_window(build, layer, *self._lowered(layer, xs[0]), xs[0], prod(self.window))

    def lower_update(self, build: OperatorBuilder, layer: Layer, delta: Value, x: Value) -> None:
        lower_window_update(build, layer, *self._lowered(layer, x), delta, x)

    def lower_bias_update(self, build: OperatorBuilder, layer: Layer, delta: Value) -> None:
        lower_channel_bias_update(build, layer, delta)

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_tangent(build, layer, f"{name}_f32", attrs | {"relu": 0}, only(dxs), [build.weight(layer), None])

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        name, attrs = self._lowered(layer, xs[0])
        return lower_convolution_gradient(build, layer, name, attrs, delta, xs[0], SAFE_PRODUCTS)
