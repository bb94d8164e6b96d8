"""The difference of two activations, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from edgeff.ir import NUMERICS, Array, Layer, Numeric, Parameters
from edgeff.ops import Activated, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pairwise import Pairwise, in_common_scale


@operator
@dataclass(frozen=True, kw_only=True)
class Sub(Pairwise, Activated):
    """``y = a - c``, either side broadcast. int8: what TFLM's SUB gives, bit for bit."""

    name: ClassVar[str] = "sub"
    summary: ClassVar[str] = "the difference of two activations, either broadcast, optional ReLU or ReLU6"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS

    def value(self, a: Array, c: Array) -> Array:
        return a - c

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        return 1.0, -1.0

    def lower_integers(
        self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]
    ) -> None:
        build.call(f"eff_sub_{layer.suffix}", [y], [*sides], {**how, **in_common_scale(build, layer, y, sides)}, layer)
