"""Int8 and int16 values in another scale."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import Rescale, RescaleWide, Size
from edgeff.kernels.tensors import AnyI16, OutAnyI16, OutI8, VectorI8


@kernel(overlap=element_by_element("x", written=1, read=1))
def eff_rescale_i8(y: OutI8, x: VectorI8, n: Size, how: Rescale) -> None:
    """int8 values in another scale, within [y_min, y_max]: TFLite's QUANTIZE, RELU and RELU6."""
    y[:] = np.clip(
        np.clip(requantise(x.astype(np.int64) - how.x_zero, how.multiplier, how.shift), -1024, 1024) + how.y_zero, how.y_min, how.y_max
    )


@kernel(overlap=element_by_element("x", written=2, read=2))
def eff_rescale_i16(y: OutAnyI16, x: AnyI16, n: Size, how: RescaleWide) -> None:
    """int16 values, zero points 0, in another scale, within [y_min, y_max]: TFLite's QUANTIZE, RELU and RELU6."""
    y[:] = np.clip(requantise(x, how.multiplier, how.shift), how.y_min, how.y_max)


@kernel(overlap=element_by_element("x", written=2, read=1))
def eff_rescale_i8_i16(y: OutAnyI16, x: VectorI8, n: Size, how: RescaleWide) -> None:
    """int8 values as int16 in another scale, within [y_min, y_max]: TFLite's QUANTIZE."""
    y[:] = np.clip(requantise(x.astype(np.int64) - how.x_zero, how.multiplier, how.shift), how.y_min, how.y_max)


@kernel(overlap=element_by_element("x", written=1, read=2))
def eff_rescale_i16_i8(y: OutI8, x: AnyI16, n: Size, how: Rescale) -> None:
    """int16 values, zero point 0, as int8 in another scale, within [y_min, y_max]: TFLite's QUANTIZE."""
    steps = np.clip(requantise(x, how.multiplier, how.shift), -1024, 1024)
    y[:] = np.clip(steps + how.y_zero, how.y_min, how.y_max)
