"""The absolute value; int8 as TFLite's ABS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.arithmetic import requantise
from edgeff.ops import operator
from edgeff.ops.elementwise import INPUTS, Elementwise, Scales, rescaling


@operator
@dataclass(frozen=True, kw_only=True)
class Abs(Elementwise):
    """``y = |x|``. int8: what TFLM's ABS gives, bit for bit."""

    name: ClassVar[str] = "abs"
    summary: ClassVar[str] = "the absolute value"
    keeps_sign: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        return np.asarray(np.abs(x))

    def slope(self, x: Array) -> Array:
        return np.asarray(np.sign(x))

    def table(self, scales: Scales) -> Array:
        """The distance from the zero point, brought to the output's scale where that is another one."""
        size = np.abs(INPUTS - scales.x_zero)
        if scales.x != scales.y:
            size = requantise(size, *rescaling(scales.x / scales.y))
        return np.clip(size + scales.y_zero, -128, 127)
