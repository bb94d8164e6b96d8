"""The convolution over sequences (L, C). It is lowered to a 2-D convolution over an image of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.ir import Array, Attr, Layer
from edgeff.ops.conv2d import Conv2d
from edgeff.ops.weighted import Weighted
from edgeff.ops.window import geometry, lower_window, lower_window_gradient, lower_window_tangent, lower_window_update, output_size
from edgeff.registry import ops

_IMAGE = Conv2d()


def as_image(layer: Layer) -> Layer:
    """The conv2d layer over (1, L, C) that computes the same; its weight is (C_out, 1, K, C_in)."""
    attrs = {
        "kernel_h": 1,
        "kernel_w": layer.attrs["kernel"],
        "stride_h": 1,
        "stride_w": layer.attrs["stride"],
        "pad_top": 0,
        "pad_left": layer.attrs["pad_left"],
        "pad_bottom": 0,
        "pad_right": layer.attrs["pad_right"],
        "activation": layer.attrs["activation"],
    }
    params = {name: p[:, None] if name == "weight" else p for name, p in layer.params.items()}
    return replace(layer, op="conv2d", shape=(1, *layer.shape), attrs=attrs, params=params)


def _lifted(params: Mapping[str, Array]) -> dict[str, Array]:
    return {name: p[:, None] if name == "weight" else p for name, p in params.items()}


class Conv1d(Weighted):
    """attrs: ``kernel stride pad_left pad_right activation``; params: ``weight`` (C_out, K, C_in) and, with a bias, ``bias`` (C_out,)."""

    op = "conv1d"
    summary = "1-D convolution, optional bias and ReLU or ReLU6"
    per_channel = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return output_size(as_image(layer), 1, inputs[0][0])[1], layer.shape[1]

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-sqrt(6 / fan_in))``, bias zero."""
        made = _IMAGE.initial(
            replace(as_image(layer), attrs={**as_image(layer).attrs, "bias": bool(layer.attrs.get("bias"))}),
            tuple((1, *shape) for shape in inputs),
            rng,
        )
        return {name: p[:, 0] if name == "weight" else p for name, p in made.items()}

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        return _IMAGE.product(as_image(layer), weight[:, None], x[:, None])[:, 0]

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        made = _IMAGE.weight_gradient(as_image(layer), _lifted(params), delta[:, None], x[:, None])
        return {name: g[:, 0] if name == "weight" else g for name, g in made.items()}

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        (made,) = _IMAGE.input_gradients(as_image(layer), _lifted(params), delta[:, None], xs[0][:, None])
        return (made[:, 0],)

    def _lowered(self, layer: Layer, x: Any) -> tuple[str, dict[str, Attr]]:
        """The kernel's name without its suffix, and its attributes, for an input x."""
        return "eff_conv2d", geometry(as_image(layer), (1, *x.shape))

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


ops.add("conv1d", Conv1d())
