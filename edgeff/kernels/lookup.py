"""An int8 function of one variable, and the gradient through it, as tables of 256 values."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutI8, OutI16, VectorI8, VectorI16


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_lookup_i8(y: OutI8, x: VectorI8, table: Annotated[Array, In("int8_t", "256")], n: Size) -> None:
    """y = table[x + 128]: any function of one int8 value."""
    y[:] = table[x.astype(np.int16) + 128]


@kernel(overlap=element_by_element("delta", output="d", written=2, read=2))
def eff_slope_i8(d: OutI16, delta: VectorI16, x: VectorI8, table: Annotated[Array, In("int16_t", "256")], n: Size) -> None:
    """d = delta times the slope of a function at x, ``table[x + 128]`` in steps of 2**-15 of the largest slope, rounded to nearest."""
    d[:] = (delta.astype(np.int64) * table[x.astype(np.int16) + 128] + (1 << 14)) >> 15
