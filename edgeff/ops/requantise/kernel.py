"""Int8 values in another scale."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_rescale_i8(y: Array, x: Array, n: int, x_zero: int, y_zero: int, multiplier: int, shift: int, y_min: int, y_max: int) -> None:
    """int8 values in another scale, within [y_min, y_max]: TFLite's QUANTIZE, RELU and RELU6."""
    y[:] = np.clip(np.clip(requantise(x.astype(np.int64) - x_zero, multiplier, shift), -1024, 1024) + y_zero, y_min, y_max)
