"""An activation function that could not be fused into the layer before it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, LayerKind, Named, activate, gated
from edgeff.ops.numerics import check_numeric
from edgeff.ops.requantise import lower_rescale
from edgeff.registry import ops


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
        check_numeric(layer)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if layer.numeric == "float32":
            build.call("eff_relu_f32", [y], [xs[0]], {"n": prod(layer.shape)} | build.relu(layer), layer)
        else:
            lower_rescale(build, layer, xs[0], y)
        return y

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        return build.copy(dxs[0])

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """The delta itself: the gate has closed it already."""
        return (delta,)


ops.add("relu", Relu())
