"""The convolution over sequences (L, C). It is lowered to a 2-D convolution over an image of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.ops import Shape, operator
from edgeff.ops.attributes import Count, Padding
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.weighted import Weighted
from edgeff.ops.window import lower_channel_bias_update, lower_convolution_gradient, lower_window, lower_window_tangent, lower_window_update


def _lifted(params: Mapping[str, Array]) -> dict[str, Array]:
    return {name: p[:, None] if name == "weight" else p for name, p in params.items()}


@operator
@dataclass(frozen=True, kw_only=True)
class Conv1d(Weighted):
    """params: ``weight`` (C_out, K, C_in) and, with a bias, ``bias`` (C_out,)."""

    name: ClassVar[str] = "conv1d"
    summary: ClassVar[str] = "1-D convolution, optional bias and ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    input_axes: ClassVar[int | None] = 2
    per_channel: ClassVar[bool] = True
    kernel: Count
    stride: Count = 1
    pad_left: Padding = 0
    pad_right: Padding = 0

    @cached_property
    def image(self) -> Conv2d:
        """The convolution over (1, L, C) that computes the same; its weight is (C_out, 1, K, C_in)."""
        return Conv2d(
            kernel_h=1,
            kernel_w=self.kernel,
            stride_w=self.stride,
            pad_left=self.pad_left,
            pad_right=self.pad_right,
            activation=self.activation,
        )

    def as_image(self, layer: Layer) -> Layer:
        """The layer over (1, L, C) that computes the same as ``layer``."""
        return replace(layer, op=self.image, shape=(1, *layer.shape), params=_lifted(layer.params))

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return self.image.output_size(layer, 1, inputs[0][0])[1], layer.shape[1]

    def weight_shape(self, layer: Layer, x: Shape) -> Shape:
        return layer.shape[-1], self.kernel, x[1]

    def padded_elements(self, x: Shape) -> int:
        return self.image.padded_elements((1, *x))

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        return self.image.product(self.as_image(layer), weight[:, None], x[:, None])[:, 0]

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        gradients = self.image.weight_gradient(self.as_image(layer), _lifted(params), delta[:, None], x[:, None])
        return {name: g[:, 0] if name == "weight" else g for name, g in gradients.items()}

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        (gradient,) = self.image.input_gradients(self.as_image(layer), _lifted(params), delta[:, None], xs[0][:, None])
        return (gradient[:, 0],)

    def _lowered(self, layer: Layer, x: Value) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_conv2d", self.image.geometry(self.as_image(layer), (1, *x.shape))

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        return lower_window(build, layer, *self._lowered(layer, xs[0]), xs[0], layer.params["weight"][0].size)

    def lower_update(self, build: OperatorBuilder, layer: Layer, delta: Value, x: Value) -> None:
        lower_window_update(build, layer, *self._lowered(layer, x), delta, x)

    def lower_bias_update(self, build: OperatorBuilder, layer: Layer, delta: Value) -> None:
        lower_channel_bias_update(build, layer, delta)

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_tangent(build, layer, f"{name}_f32", attrs | {"relu": 0}, only(dxs), [build.weight(layer), None])

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        name, attrs = self._lowered(layer, xs[0])
        return lower_convolution_gradient(build, layer, name, attrs, delta, xs[0])
