"""The input side of TFLite's fixed-point LOGISTIC and TANH, and the check of their output's scale."""

from __future__ import annotations

import math

from edgeff.errors import Unsupported
from edgeff.ir import Array, Quant
from edgeff.kernels.arithmetic import Int, multiplier_and_shift, requantise
from edgeff.ops.elementwise import Scales

INTEGER_BITS = 4
"""Integer bits of the input: beyond +-16 both functions are saturated."""


def in_q4(q: Array, scale: float) -> tuple[Int, int]:
    """``q`` (an integer array) times ``scale`` in Q4.27, and the |q| from which on the function is saturated.

    Source: tensorflow/lite/micro/kernels/logistic_common.cc and tanh.cc.
    """
    real = scale * 2.0 ** (31 - INTEGER_BITS)
    radius = math.floor((2**INTEGER_BITS - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0 ** math.frexp(real)[1])
    return requantise(q, *multiplier_and_shift(real)), radius


def check_output(name: str, scales: Scales, fixed: Quant) -> None:
    """Returns nothing; raises Unsupported if the output's scale or zero point is not the one that the operator fixes."""
    if (scales.y, scales.y_zero) != (fixed.scale[0], fixed.zero_point):
        got = f"scale {scales.y:g} and zero point {scales.y_zero}"
        raise Unsupported(f"output of {name}", got=got, allowed=f"1/{1 / fixed.scale[0]:g} and {fixed.zero_point}")
