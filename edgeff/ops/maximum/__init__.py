"""The larger of two activations, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import Array, Attr, Layer, Parameters
from edgeff.ops import operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pairwise import Pairwise


@operator
@dataclass(frozen=True, kw_only=True)
class Maximum(Pairwise):
    """``y = max(a, c)``, either side broadcast; in int8 both sides and the output have one scale, as in TFLite."""

    name: ClassVar[str] = "maximum"
    summary: ClassVar[str] = "the larger of two activations, either broadcast"
    one_scale: ClassVar[bool] = True

    def value(self, a: Array, c: Array) -> Array:
        return np.asarray(np.where(a > c, a, c))

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        first = np.asarray(a > c, a.dtype)
        return first, 1 - first

    def numbers(self, build: OperatorBuilder, layer: Layer) -> dict[str, Attr]:
        return {}

    def lower_i8(self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]) -> None:
        build.call("eff_maximum_i8", [y], [*sides], how, layer)
