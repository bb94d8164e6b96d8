"""The same numbers in another number format."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import element_by_element
from edgeff.kernels.records import LARGEST_FLOAT, Range, Rescale, Size, Zero
from edgeff.kernels.tensors import OutF32, OutI8, OutI16, VectorF32, VectorI8, VectorI16

FURTHEST = 2.0**20
Scale = Annotated[float, Range(2.0**-126, LARGEST_FLOAT)]


def nearest(x: Array, scale: float) -> NDArray[np.int64]:
    """``x / scale`` in float32, rounded to the nearest integer, ties to even; clamped to +-2**20; a NaN gives 0."""
    t = np.nan_to_num(x / np.float32(scale), nan=0.0, posinf=FURTHEST, neginf=-FURTHEST)
    return np.rint(np.clip(t, -FURTHEST, FURTHEST)).astype(np.int64)


@kernel(overlap=element_by_element("x", written=4, read=1))
def eff_convert_i8_f32(y: OutF32, x: VectorI8, n: Size, x_scale: Scale, x_zero: Zero) -> None:
    """The real values of int8 numbers (TFLite's DEQUANTIZE)."""
    y[:] = np.float32(x_scale) * (x.astype(np.int32) - x_zero).astype(np.float32)


@kernel()
def eff_convert_i16_f32(y: OutF32, x: VectorI16, n: Size, x_scale: Scale) -> None:
    """The real values of int16 numbers."""
    y[:] = np.float32(x_scale) * x.astype(np.float32)


@kernel(overlap=element_by_element("x", written=1, read=4))
def eff_convert_f32_i8(y: OutI8, x: VectorF32, n: Size, y_scale: Scale, y_zero: Zero) -> None:
    """The nearest int8 values, ties to even, saturated; a NaN counts as 0 (ONNX's QuantizeLinear)."""
    y[:] = np.clip(nearest(x, y_scale) + y_zero, -128, 127)


@kernel()
def eff_convert_f32_i16(y: OutI16, x: VectorF32, n: Size, y_scale: Scale) -> None:
    """The nearest int16 values, ties to even, within -32767 and 32767; a NaN counts as 0."""
    y[:] = np.clip(nearest(x, y_scale), -32767, 32767)


@kernel(overlap=element_by_element("x", written=2, read=1))
def eff_convert_i8_i16(y: OutI16, x: VectorI8, n: Size, x_zero: Zero) -> None:
    """int8 values as int16 in steps of 1/128 of theirs: exact."""
    y[:] = (x.astype(np.int32) - x_zero) * 128


@kernel(overlap=element_by_element("x", written=1, read=2))
def eff_convert_i16_i8(y: OutI8, x: VectorI16, n: Size, how: Rescale) -> None:
    """int16 values requantised to int8."""
    steps = requantise(x.astype(np.int64) - how.x_zero, how.multiplier, how.shift)
    y[:] = np.clip(np.clip(steps, -1024, 1024) + how.y_zero, how.y_min, how.y_max)
