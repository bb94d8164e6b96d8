"""One over the square root in float32, and its derivative."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutF32, VectorF32

LEAST = np.float32(2.0**-40)


def _inverse(x: Array) -> Array:
    return np.asarray(np.float32(1.0) / np.sqrt(np.where(x > LEAST, x, LEAST)))


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_rsqrt_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = 1 / sqrt(x), of 2**-40 for every x that is not above it."""
    y[:] = _inverse(x)


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_rsqrt_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta times the derivative at x: -1/2 y^3, 0 where x is not above 2**-40."""
    y = _inverse(x)
    d[:] = np.where(x > LEAST, delta * (((np.float32(-0.5) * y) * y) * y), np.float32(0.0))
