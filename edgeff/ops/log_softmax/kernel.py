"""The logarithm of the softmax in float32, by edgeff's own exponential and logarithm."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import exp_f32, sum_in_order
from edgeff.kernels.logarithm import ln_f32
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_log_softmax_f32(
    y: Annotated[Array, Out("float", "rows", "n")], x: Annotated[Array, In("float", "rows", "n")], rows: Size, n: Size
) -> None:
    """For each row, y = x - max x - ln(sum exp(x - max x)), the sum in index order."""
    for given, made in zip(x.reshape(rows, n), y.reshape(rows, n), strict=True):
        below = given - given.max()
        made[:] = below - ln_f32(np.asarray(sum_in_order(exp_f32(below))))
