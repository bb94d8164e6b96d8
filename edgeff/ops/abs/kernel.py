"""The absolute value in float32, and its derivative."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutF32, VectorF32


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_abs_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = x where x > 0, else -x, and 0 at 0."""
    y[:] = np.where(x > 0, x, np.float32(0.0) - x)


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_abs_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta where x > 0, -delta where x < 0, 0 at 0."""
    d[:] = np.where(x > 0, delta, np.where(x < 0, np.float32(0.0) - delta, np.float32(0.0)))
