"""Int8 values in another scale."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Rescale, Size
from edgeff.kernels.tensors import OutI8, VectorI8


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_rescale_i8(y: OutI8, x: VectorI8, n: Size, how: Rescale) -> None:
    """int8 values in another scale, within [y_min, y_max]: TFLite's QUANTIZE, RELU and RELU6."""
    y[:] = np.clip(
        np.clip(requantise(x.astype(np.int64) - how.x_zero, how.multiplier, how.shift), -1024, 1024) + how.y_zero, how.y_min, how.y_max
    )
