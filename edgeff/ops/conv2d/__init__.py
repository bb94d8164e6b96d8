"""The 2-D convolution, in groups or not, over images (H, W, C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.kernels.windows import group_channels
from edgeff.ops import Shape, operator, window_math
from edgeff.ops.attributes import LEFT_OUT, Count
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
class Conv2d(Convolution):
    """params: ``weight`` (C_out, KH, KW, C_in / groups) and, with a bias, ``bias`` (C_out,).

    C_in and C_out are split into ``groups`` runs of channels; each run of outputs reads its own run of inputs.
    """

    name: ClassVar[str] = "conv2d"
    summary: ClassVar[str] = "2-D convolution, optional groups, bias and ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    groups: Count = field(default=1, metadata=LEFT_OUT)

    def channel_groups(self, channels: int) -> int:
        return self.groups

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        count = self.groups
        if inputs[0][2] % count or layer.shape[2] % count:
            got = f"{count} groups for {inputs[0][2]} input and {layer.shape[2]} output channels"
            raise BadInput(f"layer {layer.name!r}", got=got, allowed="a count that divides both")
        return (*self.output_size(layer, *inputs[0][:2]), layer.shape[2])

    def weight_shape(self, layer: Layer, x: Shape) -> Shape:
        return layer.shape[-1], *self.window, x[2] // self.groups

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        place = self.stride, self.pads
        parts = [window_math.conv2d(x[..., read], weight[filters], *place) for read, filters in self._cuts(layer, x.shape[3])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3)

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        place = self.window, self.stride, self.pads
        cuts = self._cuts(layer, x.shape[3])
        parts = [window_math.conv2d_weight_gradient(delta[..., filters], x[..., read], *place) / len(x) for read, filters in cuts]
        gradients = {"weight": parts[0] if len(parts) == 1 else np.concatenate(parts)}
        if "bias" in params:
            gradients["bias"] = column_sums(delta) / len(x)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        place, shape = (self.stride, self.pads), xs[0].shape
        parts = [
            window_math.conv2d_input_gradient(delta[..., filters], params["weight"][filters], (*shape[:3], read.stop - read.start), *place)
            for read, filters in self._cuts(layer, shape[3])
        ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3),)

    def _cuts(self, layer: Layer, channels: int) -> list[tuple[slice, slice]]:
        """The input and output channels of each group, for an input of so many ``channels``."""
        return group_channels(self.groups, channels, layer.shape[2])

    def _lowered(self, layer: Layer, x: Value) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_conv2d", self.geometry(layer, x.shape)

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
