"""Kernels that go element by element: sums of two activations, a change of scale, an exchange of axes."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise

ADD_BITS = 20


@kernel()
def eff_add_f32(y: Array, a: Array, c: Array, n: int, relu: int) -> None:
    """y = a + c, then the activation."""
    y[:] = activate(a + c, relu)


@kernel()
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


@kernel()
def eff_relu_f32(y: Array, x: Array, n: int, relu: int) -> None:
    """The activation function alone."""
    y[:] = activate(x, relu)


@kernel()
def eff_rescale_i8(y: Array, x: Array, n: int, x_zero: int, y_zero: int, multiplier: int, shift: int, y_min: int, y_max: int) -> None:
    """int8 values in another scale, within [y_min, y_max]: TFLite's QUANTIZE, RELU and RELU6."""
    y[:] = np.clip(np.clip(requantise(x.astype(np.int64) - x_zero, multiplier, shift), -1024, 1024) + y_zero, y_min, y_max)


@kernel()
def eff_transpose_f32(y: Array, x: Array, d0: int, d1: int, d2: int, p0: int, p1: int, p2: int) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(d0, d1, d2).transpose(p0, p1, p2).reshape(-1)


@kernel()
def eff_transpose_i8(y: Array, x: Array, d0: int, d1: int, d2: int, p0: int, p1: int, p2: int) -> None:
    """The axes of x (d0, d1, d2) in the order p0, p1, p2."""
    y[:] = x.reshape(d0, d1, d2).transpose(p0, p1, p2).reshape(-1)
