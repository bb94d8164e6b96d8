"""The sum of two activations."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise
from edgeff.kernels.overlap import element_by_element

ADD_BITS = 20


@kernel(overlap=element_by_element("a", "c", written=4, read=4))
def eff_add_f32(y: Array, a: Array, c: Array, n: int, relu: int) -> None:
    """y = a + c, then the activation."""
    y[:] = activate(a + c, relu)


@kernel(overlap=element_by_element("a", "c", written=1, read=1))
def eff_add_i8(
    y: Array,
    a: Array,
    c: Array,
    n: int,
    a_zero: int,
    a_multiplier: int,
    a_shift: int,
    c_zero: int,
    c_multiplier: int,
    c_shift: int,
    y_zero: int,
    multiplier: int,
    shift: int,
    y_min: int,
    y_max: int,
) -> None:
    """TFLite's int8 ADD: both sides times 2**20 and rescaled by a factor <= 1/2, added, rescaled to the output."""
    left = requantise((a.astype(np.int64) - a_zero) << ADD_BITS, a_multiplier, a_shift)
    right = requantise((c.astype(np.int64) - c_zero) << ADD_BITS, c_multiplier, c_shift)
    y[:] = np.clip(np.clip(requantise(left + right, multiplier, shift), -1024, 1024) + y_zero, y_min, y_max)
