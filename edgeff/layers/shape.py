"""Layers that change a shape: reshape (flatten among them), which costs nothing, and transpose, which moves data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Layer
from edgeff.layers import LayerKind
from edgeff.layers.elementwise import check_numeric
from edgeff.registry import layers


class Reshape(LayerKind):
    """The same elements in C order as an activation of the layer's shape."""

    op = "reshape"
    summary = "another shape of the same elements"
    keeps_quant = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        if prod(layer.shape) != prod(inputs[0]):
            raise BadInput(f"layer {layer.name!r}", got=f"{inputs[0]} as {layer.shape}", allowed="as many elements")
        return layer.shape

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return xs[0].reshape(len(xs[0]), *layer.shape)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta.reshape(xs[0].shape),)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        return replace(xs[0], shape=layer.shape)

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        return (replace(delta, shape=xs[0].shape),)


def axes(layer: Layer) -> tuple[int, ...]:
    """The order of the input's axes, without the batch, from the attribute ``perm`` ("1,2,0")."""
    return tuple(int(part) for part in str(layer.attrs["perm"]).split(","))


class Transpose(LayerKind):
    """attrs: ``perm``, the input's axes in their new order, as text: "1,2,0". At most three axes."""

    op = "transpose"
    summary = "the axes in another order"
    keeps_quant = True

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        order = axes(layer)
        if sorted(order) != list(range(len(inputs[0]))) or len(order) > 3:
            raise BadInput(f"layer {layer.name!r}, perm", got=layer.attrs["perm"], allowed=f"the axes of {inputs[0]}, at most three")
        return tuple(inputs[0][axis] for axis in order)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.ascontiguousarray(xs[0].transpose(0, *(axis + 1 for axis in axes(layer))))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta.transpose(0, *(int(place) + 1 for place in np.argsort(axes(layer)))),)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        check_numeric(build, layer)
        (x,) = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        missing = 3 - len(x.shape)
        sizes, order = (1,) * missing + tuple(x.shape), (*range(missing), *(axis + missing for axis in axes(layer)))
        attrs = {f"d{i}": size for i, size in enumerate(sizes)} | {f"p{i}": axis for i, axis in enumerate(order)}
        build.call(f"eff_transpose_{build.suffix}", [y], [x], attrs, layer)
        return y


layers.add("reshape", Reshape())
layers.add("transpose", Transpose())
