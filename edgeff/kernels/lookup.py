"""An int8 function of one variable as a table of its 256 values."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, kernel
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Size
from edgeff.kernels.tensors import OutI8, VectorI8


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_lookup_i8(y: OutI8, x: VectorI8, table: Annotated[Array, In("int8_t", "256")], n: Size) -> None:
    """y = table[x + 128]: any function of one int8 value."""
    y[:] = table[x.astype(np.int16) + 128]
