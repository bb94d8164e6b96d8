"""The sum of two activations."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Relu, Rescale, Sides, Size
from edgeff.kernels.tensors import OutF32, OutI8, VectorF32, VectorI8

ADD_BITS = 20


@kernel(overlap=element_by_element("a", "c", written=4, read=4))
def eff_add_f32(y: OutF32, a: VectorF32, c: VectorF32, n: Size, relu: Relu) -> None:
    """y = a + c, then the activation."""
    y[:] = activate(a + c, relu)


@kernel(overlap=element_by_element("a", "c", written=1, read=1))
def eff_add_i8(y: OutI8, a: VectorI8, c: VectorI8, n: Size, sides: Sides, total: Rescale) -> None:
    """TFLite's int8 ADD: both sides times 2**20 and rescaled by a factor <= 1/2, added, rescaled to the output."""
    left = requantise((a.astype(np.int64) - sides.a_zero) << ADD_BITS, sides.a_multiplier, sides.a_shift)
    right = requantise((c.astype(np.int64) - sides.c_zero) << ADD_BITS, sides.c_multiplier, sides.c_shift)
    y[:] = np.clip(np.clip(requantise(left + right, total.multiplier, total.shift), -1024, 1024) + total.y_zero, total.y_min, total.y_max)
