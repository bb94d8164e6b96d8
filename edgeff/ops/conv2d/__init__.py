"""The 2-D convolution, in groups or not, over images (H, W, C)."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Attr, Layer
from edgeff.kernels.windows import group_channels
from edgeff.ops import windows
from edgeff.ops.parallel import column_sums
from edgeff.ops.weighted import Weighted
from edgeff.ops.window import (
    geometry,
    groups,
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


class Conv2d(Weighted):
    """attrs: also ``groups``, 1 where there is none; params: ``weight`` (C_out, KH, KW, C_in / groups) and, with a bias, ``bias`` (C_out,).

    C_in and C_out are cut into ``groups`` runs of channels, and each run of outputs reads its own run of inputs.
    """

    op = "conv2d"
    summary = "2-D convolution, optional groups, bias and ReLU or ReLU6"
    per_channel = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        count = groups(layer)
        if inputs[0][2] % count or layer.shape[2] % count:
            got = f"{count} groups for {inputs[0][2]} input and {layer.shape[2]} output channels"
            raise BadInput(f"layer {layer.name!r}", got=got, allowed="a count that divides both")
        return (*output_size(layer, *inputs[0][:2]), layer.shape[2])

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-sqrt(6 / fan_in))`` (He et al. 2015), bias zero."""
        shape = (layer.shape[2], *window(layer), inputs[0][2] // groups(layer))
        limit = sqrt(6.0 / (shape[1] * shape[2] * shape[3]))
        params: dict[str, Array] = {"weight": rng.uniform(-limit, limit, shape).astype(np.float32)}
        if layer.attrs.get("bias"):
            params["bias"] = np.zeros(shape[0], np.float32)
        return params

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        place = stride(layer), pads(layer)
        parts = [windows.conv2d(x[..., seen], weight[made], *place) for seen, made in _cuts(layer, x.shape[3])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3)

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        place = window(layer), stride(layer), pads(layer)
        cuts = _cuts(layer, x.shape[3])
        parts = [windows.conv2d_weight_gradient(delta[..., made], x[..., seen], *place) / len(x) for seen, made in cuts]
        gradients = {"weight": parts[0] if len(parts) == 1 else np.concatenate(parts)}
        if "bias" in params:
            gradients["bias"] = column_sums(delta) / len(x)
        return gradients

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        place, shape = (stride(layer), pads(layer)), xs[0].shape
        parts = [
            windows.conv2d_input_gradient(delta[..., made], params["weight"][made], (*shape[:3], seen.stop - seen.start), *place)
            for seen, made in _cuts(layer, shape[3])
        ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3),)

    def _lowered(self, layer: Layer, x: Any) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_conv2d", geometry(layer, x.shape)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        return lower_window(build, layer, *self._lowered(layer, xs[0]), xs[0], layer.params["weight"][0].size)

    def lower_update(self, build: Any, layer: Layer, delta: Any, x: Any) -> None:
        lower_window_update(build, layer, *self._lowered(layer, x), delta, x)

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_tangent(build, layer, f"{name}_f32", attrs | {"relu": 0}, dxs[0], [build.parameter(layer, "weight"), None])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        name, attrs = self._lowered(layer, xs[0])
        return lower_window_gradient(build, layer, name, attrs, xs[0], [delta, build.parameter(layer, "weight")])


def _cuts(layer: Layer, channels: int) -> list[tuple[slice, slice]]:
    """The input and output channels of each group, for an input of so many ``channels``."""
    return group_channels(groups(layer), channels, layer.shape[2])


ops.add("conv2d", Conv2d())
