"""The leaky ReLU in float32, and its derivative."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutF32, VectorF32


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_leaky_relu_f32(y: OutF32, x: VectorF32, n: Size, alpha: float) -> None:
    """y = x where x > 0, else alpha x."""
    y[:] = np.where(x > 0, x, x * np.float32(alpha))


@kernel(overlap=element_by_element("delta", output="d", written=4, read=4))
def eff_leaky_relu_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size, alpha: float) -> None:
    """d = delta where x > 0, else alpha delta."""
    d[:] = np.where(x > 0, delta, delta * np.float32(alpha))
