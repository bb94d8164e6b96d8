"""The parametric ReLU (He et al. 2015): x above zero, a learned slope times x below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import Array, Attr, Layer, Parameters
from edgeff.kernels.records import Requant
from edgeff.ops import operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pairwise import Pairwise


@operator
@dataclass(frozen=True, kw_only=True)
class Prelu(Pairwise):
    """``y = a`` for a >= 0, else ``a c``: c, often a constant for each channel, is the slope below zero. int8: what TFLM's PRELU gives, bit
    for bit.
    """

    name: ClassVar[str] = "prelu"
    summary: ClassVar[str] = "x above zero, a slope of its own for each channel times x below"

    def value(self, a: Array, c: Array) -> Array:
        return np.asarray(np.where(a >= 0, a, a * c))

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        above = a >= 0
        return np.where(above, a.dtype.type(1), c), np.where(above, a.dtype.type(0), a)

    def numbers(self, build: OperatorBuilder, layer: Layer) -> dict[str, Attr]:
        return {}

    def lower_integers(
        self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]
    ) -> None:
        (a, c), what = sides, f"requantisation of layer {layer.name!r}"
        above, below = (Requant(*build.fixed_point(real, what)) for real in (a.scale / y.scale, a.scale * c.scale / y.scale))
        zeros = {"a_zero": a.zero_point, "c_zero": c.zero_point, "y_zero": y.zero_point}
        build.call("eff_prelu_i8", [y], [a, c], {**how, "above": above, "below": below, **zeros}, layer)
