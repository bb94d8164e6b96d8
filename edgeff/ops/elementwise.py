"""Layers that go element by element: the sum of two activations, an activation function or a change of scale by itself."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.kernels.elementwise import ADD_BITS
from edgeff.ops import Arrays, LayerKind, Named, activate, gated
from edgeff.ops.parallel import cached, each, empty
from edgeff.registry import ops


def sum_of(a: Array, c: Array, layer: Layer | None = None) -> Array:
    """a + c through the layer's activation function, on all cores."""
    y = empty(a.shape, a.dtype)

    def write(part: slice) -> None:
        np.add(a[part], c[part], out=y[part])
        if layer is not None:
            activate(layer, y[part])

    each(write, cached(a, c, y))
    return y


def check_numeric(build: Any, layer: Layer) -> None:
    """Raises Unsupported for what is no float32 and no int8."""
    if build.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.op} in {build.numeric}", got=build.numeric, allowed="float32, int8")


class Add(LayerKind):
    """attrs: ``activation``. The sum of two activations of one shape: what a skip connection ends in."""

    op = "add"
    summary = "the sum of two activations, optional ReLU or ReLU6"

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return sum_of(xs[0], xs[1], layer)

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        return gated(layer, delta, y)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return delta, delta

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, sum_of(dxs[0], dxs[1]), y)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        """int8 (TFLite): both sides brought to twice the larger input scale with 20 more bits."""
        check_numeric(build, layer)
        a, c = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        n = prod(layer.shape)
        if build.numeric == "float32":
            build.call("eff_add_f32", [y], [a, c], {"n": n} | build.relu(layer), layer)
            return y
        attrs = {"n": n, "y_zero": y.zero_point} | build.ends(layer, y)
        common = 2.0 * max(a.scale, c.scale)
        what = f"requantisation of layer {layer.name!r}"
        for side, value in (("a", a), ("c", c)):
            attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = build.fixed_point(value.scale / common, what)
            attrs[f"{side}_zero"] = value.zero_point
        attrs["multiplier"], attrs["shift"] = build.fixed_point(common / (2.0**ADD_BITS * y.scale), what)
        build.call("eff_add_i8", [y], [a, c], attrs, layer)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        a, c = dxs
        return build.copy(c if a is None else a) if a is None or c is None else build.sum(a, c)

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """Both inputs' gradient is the delta; the second gets a copy, for each is changed in place further down."""
        return delta, build.copy(delta)


class Relu(LayerKind):
    """attrs: ``activation`` ("relu" or "relu6"). An activation function that could not be fused into the layer before it."""

    op = "relu"
    summary = "ReLU or ReLU6 alone"

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return activate(layer, xs[0].copy())

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        return gated(layer, delta, y)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta,)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, dxs[0], y)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        check_numeric(build, layer)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if build.numeric == "float32":
            build.call("eff_relu_f32", [y], [xs[0]], {"n": prod(layer.shape)} | build.relu(layer), layer)
        else:
            lower_rescale(build, layer, xs[0], y)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        return build.copy(dxs[0])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """The delta itself: the gate has closed it already."""
        return (delta,)


def lower_rescale(build: Any, layer: Layer, x: Any, y: Any) -> None:
    """Emits y = x in y's scale, within the ends of the layer's activation."""
    multiplier, shift = build.fixed_point(x.scale / y.scale, f"requantisation of layer {layer.name!r}")
    attrs = {"n": prod(layer.shape), "x_zero": x.zero_point, "y_zero": y.zero_point, "multiplier": multiplier, "shift": shift}
    build.call("eff_rescale_i8", [y], [x], attrs | build.ends(layer, y), layer)


class Requantise(LayerKind):
    """Nothing in float; in int8 the same numbers in another scale (TFLite's QUANTIZE between two int8 tensors)."""

    op = "requantise"
    summary = "another scale in int8, nothing in float"

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return xs[0]

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta,)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return dxs[0]

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        check_numeric(build, layer)
        if build.numeric == "float32":
            return xs[0]
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        lower_rescale(build, layer, xs[0], y)
        return y


ops.add("add", Add())
ops.add("relu", Relu())
ops.add("requantise", Requantise())
