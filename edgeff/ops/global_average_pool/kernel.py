"""The mean of each channel, and its gradient."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import channel_by_channel
from edgeff.kernels.records import Range, Rescale, RescaleWide, Size


@kernel(overlap=channel_by_channel(4))
def eff_mean_f32(y: Annotated[Array, Out("float", "in_c")], x: Annotated[Array, In("float", "n", "in_c")], n: Size, in_c: Size) -> None:
    """float32: x (n, in_c) -> y (in_c,), each channel's sum in index order over n."""
    rows = x.reshape(n, in_c)
    sums = np.zeros(in_c, np.float32)
    for row in rows:
        sums = sums + row
    y[:] = sums / np.float32(n)


@kernel(overlap=channel_by_channel(1))
def eff_mean_i8(
    y: Annotated[Array, Out("int8_t", "in_c")],
    x: Annotated[Array, In("int8_t", "n", "in_c")],
    n: Annotated[int, Range(1, 1 << 23)],
    in_c: Size,
    how: Rescale,
) -> None:
    """int8: the sum of n values without their zero point times s_x / (n s_y), requantised once. n <= 2**23."""
    sums = (x.reshape(n, in_c).astype(np.int64) - how.x_zero).sum(axis=0)
    y[:] = np.clip(np.clip(requantise(sums, how.multiplier, how.shift), -1024, 1024) + how.y_zero, -128, 127)


@kernel(overlap=channel_by_channel(2))
def eff_mean_i16(
    y: Annotated[Array, Out("int16_t", "in_c", low=-32768)],
    x: Annotated[Array, In("int16_t", "n", "in_c", low=-32768)],
    n: Annotated[int, Range(1, 1 << 15)],
    in_c: Size,
    how: RescaleWide,
) -> None:
    """int16: as eff_mean_i8 with zero points 0. n <= 2**15."""
    sums = x.reshape(n, in_c).astype(np.int64).sum(axis=0)
    y[:] = np.clip(requantise(sums, how.multiplier, how.shift), how.y_min, how.y_max)


@kernel()
def eff_mean_input_gradient_f32(
    d: Annotated[Array, Out("float", "n", "in_c")],
    delta: Annotated[Array, In("float", "in_c")],
    n: Size,
    in_c: Size,
) -> None:
    """d (n, in_c): delta (in_c,) / n at every position."""
    d.reshape(n, in_c)[:] = delta / np.float32(n)
