"""The product of two activations, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from edgeff.ir import Array, Attr, Layer, Parameters
from edgeff.ops import Activated, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pairwise import Pairwise


@operator
@dataclass(frozen=True, kw_only=True)
class Mul(Pairwise, Activated):
    """``y = a c``, either side broadcast: gates, squeeze and excitation, scales. int8: what TFLM's MUL gives, bit for bit."""

    name: ClassVar[str] = "mul"
    summary: ClassVar[str] = "the product of two activations, either broadcast, optional ReLU or ReLU6"

    def value(self, a: Array, c: Array) -> Array:
        return a * c

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        return c, a

    def lower_i8(self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]) -> None:
        a, c = sides
        multiplier, shift = build.fixed_point(a.scale * c.scale / y.scale, f"requantisation of layer {layer.name!r}")
        numbers: dict[str, Attr] = {"x_zero": a.zero_point, "y_zero": y.zero_point, "multiplier": multiplier, "shift": shift}
        build.call("eff_mul_i8", [y], [a, c], {**how, **numbers, **build.ends(layer, y), "c_zero": c.zero_point}, layer)
