"""The axes in another order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Attr, Layer
from edgeff.ops import Arrays, LayerKind, Named
from edgeff.ops.numerics import check_numeric
from edgeff.registry import ops


def axes(layer: Layer) -> tuple[int, ...]:
    """The order of the input's axes, without the batch, from the attribute ``perm`` ("1,2,0")."""
    return tuple(int(part) for part in str(layer.attrs["perm"]).split(","))


def exchange(layer: Layer, shape: tuple[int, ...]) -> dict[str, Attr]:
    """The attributes of the transpose kernels for an input of ``shape``, which gets axes of 1 in front up to three."""
    missing = 3 - len(shape)
    sizes, order = (1,) * missing + tuple(shape), (*range(missing), *(axis + missing for axis in axes(layer)))
    return {**{f"d{i}": size for i, size in enumerate(sizes)}, **{f"p{i}": axis for i, axis in enumerate(order)}}


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

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        check_numeric(layer)
        (x,) = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        build.call(f"eff_transpose_{layer.suffix}", [y], [x], exchange(layer, x.shape), layer)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        """The same exchange; float32 only."""
        if layer.numeric != "float32":
            raise Unsupported(f"the tangent through layer {layer.name!r}, transpose", got=layer.numeric, allowed="float32")
        dy = build.activation("tangent", layer.shape, layer=layer.name)
        build.call("eff_transpose_f32", [dy], [dxs[0]], exchange(layer, xs[0].shape), layer, "tangent")
        return dy

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """The axes back in their old order; float32 only."""
        if layer.numeric != "float32":
            raise Unsupported(f"the gradient through layer {layer.name!r}, transpose", got=layer.numeric, allowed="float32")
        back = replace(layer, attrs={"perm": ",".join(str(int(axis)) for axis in np.argsort(axes(layer)))})
        d = build.activation("gradient", xs[0].shape, layer=layer.name)
        build.call("eff_transpose_f32", [d], [replace(delta, shape=layer.shape)], exchange(back, layer.shape), layer, "backward")
        return (d,)


ops.add("transpose", Transpose())
