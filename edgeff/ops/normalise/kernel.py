"""Y = x / rms(x)."""

from __future__ import annotations

from math import isqrt
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import sum_in_order, sum_of_squares
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import LARGEST_FLOAT, Range, Size, Zero
from edgeff.kernels.tensors import OutF32, OutI8, OutI16, VectorF32, VectorI8, VectorI16

Width = Annotated[int, Range(1, 33_000)]


@kernel(macs="2 * n", overlap=element_by_element("x", written=4, read=4))
def eff_normalise_f32(y: OutF32, x: VectorF32, n: Size, eps: Annotated[float, Range(0.0, LARGEST_FLOAT)]) -> None:
    """y = x / (sqrt(mean(x^2)) + eps)."""
    mean = sum_in_order(x * x) / np.float32(n)
    root = np.float32(0.0) if mean < np.float32(2.0**-126) else np.sqrt(mean)
    y[:] = x / (root + np.float32(eps))


def _normalised(centred: Array, length: int, gain: int) -> Array:
    return (centred * (gain // (length + 1)) + 0x8000) >> 16


@kernel(macs="2 * n", overlap=element_by_element("x", written=1, read=1))
def eff_normalise_i8(y: OutI8, x: VectorI8, n: Width, x_zero: Zero, y_zero: Zero, gain: Size) -> None:
    """y = x / rms(x) in steps of 2**24 / gain; the root mean square in units of 2**-8 input steps, plus one. n <= 33,000."""
    centred = x.astype(np.int64) - x_zero
    length = isqrt((sum_of_squares(centred) << 16) // n)
    y[:] = np.clip(np.clip(_normalised(centred, length, gain), -1024, 1024) + y_zero, -128, 127)


@kernel(macs="2 * n", overlap=element_by_element("x", written=2, read=2))
def eff_normalise_i16(y: OutI16, x: VectorI16, n: Width, gain: Size) -> None:
    """The int16 form: steps of 2**16 / gain, the root mean square in input steps, plus one."""
    wide = x.astype(np.int64)
    y[:] = np.clip(_normalised(wide, isqrt(sum_of_squares(wide) // n), gain), -32767, 32767)
