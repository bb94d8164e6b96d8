"""The hyperbolic tangent; int8 as TFLite's TANH."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Layer, Numeric, Quant
from edgeff.kernels.arithmetic import exp_q31, reciprocal_q29, saturate32, shift_round
from edgeff.ops import operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.elementwise import CHORDS_OUTPUT, INPUTS, Elementwise, Scales, lower_chords
from edgeff.ops.logistic.fixed_point import check_output, in_q4

OUTPUT = Quant((1 / 128,), 0)


@operator
@dataclass(frozen=True, kw_only=True)
class Tanh(Elementwise):
    """``y = tanh(x)``. int8: the output has scale 1/128 and zero point 0, and is what TFLM's TANH gives, bit for bit."""

    name: ClassVar[str] = "tanh"
    summary: ClassVar[str] = "the hyperbolic tangent"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_sign: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        return np.asarray(np.tanh(x))

    def slope(self, x: Array) -> Array:
        powers = np.exp(-2 * np.abs(x))
        return np.asarray(4 * powers / (1 + powers) ** 2)

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        return {"int8": OUTPUT, "int16": CHORDS_OUTPUT}.get(numeric)

    def lower_i16(self, build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> None:
        lower_chords(build, layer, x, y, 1)

    def table(self, scales: Scales) -> Array:
        """TFLite's fixed-point scheme: |x| in Q4.27, which is 2 |x| in Q5.26; (1 - e) / (1 + e) in Q0.31, rounded to steps of 1/128."""
        check_output(self.name, scales, OUTPUT)
        q = INPUTS - scales.x_zero
        a, radius = in_q4(q, scales.x)
        size = saturate32((reciprocal_q29(exp_q31(-np.abs(a))) - (1 << 29)) << 2)
        inside = np.clip(shift_round(np.sign(a) * size, 24), -128, 127)
        return np.asarray(np.where(q <= -radius, -128, np.where(q >= radius, 127, inside)))
