"""An activation function that could not be fused into the layer before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.kernels.activation import ACTIVATIONS, RELU
from edgeff.ops import Activated, Arrays, Named, operator
from edgeff.ops.attributes import ActivationName, refusal
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_numeric
from edgeff.ops.requantise import lower_rescale


@operator
@dataclass(frozen=True, kw_only=True)
class Relu(Activated):
    """An activation function that could not be fused into the layer before it."""

    name: ClassVar[str] = "relu"
    summary: ClassVar[str] = "ReLU or ReLU6 alone"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    works_in_place: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True
    activation: ActivationName = RELU.name

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.function.clamps:
            names = ", ".join(name for name, function in ACTIVATIONS.items() if function.clamps)
            raise refusal(type(self), "activation", self.activation, names)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return self.function.apply(xs[0].copy())

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta,)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.gate(layer, dxs[0], y)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if layer.numeric == "float32":
            build.call("eff_relu_f32", [y], [xs[0]], {"n": prod(layer.shape), **build.relu(layer)}, layer)
        else:
            lower_rescale(build, layer, xs[0], y)
        return y

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        return build.copy(only(dxs))

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """The delta itself: the gate has already been applied."""
        return (delta,)
