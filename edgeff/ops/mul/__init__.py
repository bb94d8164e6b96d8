"""The product of two activations, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric, Parameters
from edgeff.ops import Activated, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pairwise import Pairwise


@operator
@dataclass(frozen=True, kw_only=True)
class Mul(Pairwise, Activated):
    """``y = a c``, either side broadcast: gates, squeeze and excitation, scales. int8: what TFLM's MUL gives, bit for bit."""

    name: ClassVar[str] = "mul"
    summary: ClassVar[str] = "the product of two activations, either broadcast, optional ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS

    def value(self, a: Array, c: Array) -> Array:
        return a * c

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        return c, a

    def lower_integers(
        self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]
    ) -> None:
        a, c = sides
        multiplier, shift = build.fixed_point(a.scale * c.scale / y.scale, f"requantisation of layer {layer.name!r}")
        numbers: dict[str, Attr] = {"x_zero": a.zero_point, "multiplier": multiplier, "shift": shift, **build.ends(layer, y)}
        if layer.numeric == "int8":
            numbers |= {"y_zero": y.zero_point, "c_zero": c.zero_point}
        build.call(f"eff_mul_{layer.suffix}", [y], [a, c], {**how, **numbers}, layer)
