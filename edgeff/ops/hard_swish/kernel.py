"""The hard swish in float32, and its derivative."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutF32, VectorF32

F = np.float32


@kernel(overlap=element_by_element("x", written=4, read=4))
def eff_hard_swish_f32(y: OutF32, x: VectorF32, n: Size) -> None:
    """y = x min(max(x + 3, 0), 6) / 6."""
    y[:] = x * (np.clip(x + F(3.0), F(0.0), F(6.0)) / F(6.0))


@kernel(overlap=element_by_element("delta", "x", output="d", written=4, read=4))
def eff_hard_swish_slope_f32(d: OutF32, delta: VectorF32, x: VectorF32, n: Size) -> None:
    """d = delta times the derivative of the hard swish at x: 0 up to -3, 1 from 3 on, (2 x + 3) / 6 between."""
    near = np.clip(x, F(-3.0), F(3.0))
    slope = (near + near + F(3.0)) / F(6.0)
    d[:] = np.where(x <= F(-3.0), F(0.0), np.where(x >= F(3.0), delta, delta * slope))
