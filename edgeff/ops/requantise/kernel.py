"""Int8 values in another scale."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Rescale, Size


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_rescale_i8(
    y: Annotated[Array, Out("int8_t", "n")],
    x: Annotated[Array, In("int8_t", "n")],
    n: Size,
    how: Rescale,
) -> None:
    """int8 values in another scale, within [y_min, y_max]: TFLite's QUANTIZE, RELU and RELU6."""
    y[:] = np.clip(
        np.clip(requantise(x.astype(np.int64) - how.x_zero, how.multiplier, how.shift), -1024, 1024) + how.y_zero, how.y_min, how.y_max
    )
