"""The logistic function, ``1 / (1 + exp(-x))``; int8 as TFLite's LOGISTIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Layer, Numeric, Quant
from edgeff.kernels.arithmetic import INT32_MAX, exp_q31, reciprocal_q31, shift_round
from edgeff.ops import operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.elementwise import CHORDS_OUTPUT, INPUTS, Elementwise, Scales, lower_chords
from edgeff.ops.logistic.fixed_point import INTEGER_BITS, check_output, in_q4

OUTPUT = Quant((1 / 256,), -128)


@operator
@dataclass(frozen=True, kw_only=True)
class Logistic(Elementwise):
    """``y = 1 / (1 + exp(-x))``. int8: the output has scale 1/256 and zero point -128, and is what TFLM's LOGISTIC gives, bit for bit."""

    name: ClassVar[str] = "logistic"
    summary: ClassVar[str] = "the logistic function (sigmoid)"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_sign: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        powers = np.exp(-np.abs(x))
        return np.asarray(np.where(x < 0, powers, 1) / (1 + powers))

    def slope(self, x: Array) -> Array:
        powers = np.exp(-np.abs(x))
        return np.asarray(powers / (1 + powers) ** 2)

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        return {"int8": OUTPUT, "int16": CHORDS_OUTPUT}.get(numeric)

    def lower_i16(self, build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> None:
        lower_chords(build, layer, x, y, 0)

    def table(self, scales: Scales) -> Array:
        """TFLite's fixed-point scheme: the input in Q4.27, gemmlowp's logistic in Q0.31, rounded to steps of 1/256."""
        check_output(self.name, scales, OUTPUT)
        q = INPUTS - scales.x_zero
        a, radius = in_q4(q, scales.x)
        upper = reciprocal_q31(exp_q31(-np.abs(a), INTEGER_BITS))
        share = np.where(a == 0, 1 << 30, np.where(a > 0, upper, INT32_MAX - upper))
        inside = np.clip(shift_round(share, 23) - 128, -128, 127)
        return np.asarray(np.where(q <= -radius, -128, np.where(q >= radius, 127, inside)))
