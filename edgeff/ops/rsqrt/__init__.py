"""One over the square root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array
from edgeff.ops import operator
from edgeff.ops.elementwise import Elementwise, Scales

LEAST = 2.0**-40


@operator
@dataclass(frozen=True, kw_only=True)
class Rsqrt(Elementwise):
    """``y = 1 / sqrt(max(x, 2**-40))``: finite for every x, where 1 / sqrt(x) is not for x <= 0. float32 only."""

    name: ClassVar[str] = "rsqrt"
    summary: ClassVar[str] = "one over the square root"
    keeps_sign: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        return np.asarray(x.dtype.type(1) / np.sqrt(np.maximum(x, x.dtype.type(LEAST))))

    def slope(self, x: Array) -> Array:
        root = self.value(x)
        return np.asarray(np.where(x > LEAST, x.dtype.type(-0.5) * root * root * root, x.dtype.type(0)))

    def table(self, scales: Scales) -> Array:
        raise Unsupported("rsqrt", got="int8", allowed="float32", next_step="keep its layers in float")
