"""Y = (x - mean x) / sqrt(variance x + eps)."""

from __future__ import annotations

from math import isqrt
from typing import Annotated

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import sum_in_order
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import LARGEST_FLOAT, Range, Size, Zero
from edgeff.kernels.tensors import OutF32, OutI8, OutI16, VectorF32, VectorI8, VectorI16

Width = Annotated[int, Range(1, 32_768)]


@kernel(macs="2 * n", overlap=element_by_element("x", written=4, read=4))
def eff_standardise_f32(y: OutF32, x: VectorF32, n: Size, eps: Annotated[float, Range(0.0, LARGEST_FLOAT)]) -> None:
    """y = (x - mean(x)) / sqrt(variance(x) + eps)."""
    centred = x - sum_in_order(x) / np.float32(n)
    spread = sum_in_order(centred * centred) / np.float32(n) + np.float32(eps)
    y[:] = centred / (np.float32(0.0) if spread < np.float32(2.0**-126) else np.sqrt(spread))


@kernel(macs="2 * n", overlap=element_by_element("x", written=1, read=1))
def eff_standardise_i8(y: OutI8, x: VectorI8, n: Width, y_zero: Zero, gain: Size) -> None:
    """y in steps of 2**24 / gain; mean and deviation in units of 2**-8 input steps, the deviation plus one. n <= 32,768."""
    u = x.astype(np.int64) + 128
    total, squares = int(u.sum()), int(np.dot(u, u))
    factor = gain // (isqrt(((n * squares - total * total) << 16) // (n * n)) + 1)
    centred = (u << 8) - (total * 256 + n // 2) // n
    y[:] = np.clip(((centred * factor + (1 << 23)) >> 24) + y_zero, -128, 127)


@kernel(macs="2 * n", overlap=element_by_element("x", written=2, read=2))
def eff_standardise_i16(y: OutI16, x: VectorI16, n: Width, gain: Size) -> None:
    """The int16 form: steps of 2**16 / gain, mean and deviation in input steps. n <= 32,768."""
    u = x.astype(np.int64) + 32768
    total, squares = int(u.sum()), int(np.dot(u, u))
    factor = gain // (isqrt((n * squares - total * total) // (n * n)) + 1)
    y[:] = np.clip(((u - (total + n // 2) // n) * factor + 0x8000) >> 16, -32767, 32767)
