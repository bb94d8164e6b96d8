"""The mean of each channel, and its gradient."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import requantise
from edgeff.kernels.overlap import channel_by_channel


@kernel(overlap=channel_by_channel(4))
def eff_mean_f32(y: Array, x: Array, n: int, in_c: int) -> None:
    """float32: x (n, in_c) -> y (in_c,), each channel's sum in index order over n."""
    rows = x.reshape(n, in_c)
    sums = np.zeros(in_c, np.float32)
    for row in rows:
        sums = sums + row
    y[:] = sums / np.float32(n)


@kernel(overlap=channel_by_channel(1))
def eff_mean_i8(y: Array, x: Array, n: int, in_c: int, x_zero: int, y_zero: int, multiplier: int, shift: int) -> None:
    """int8: the sum of n values without their zero point times s_x / (n s_y), requantised once. n <= 2**23."""
    sums = (x.reshape(n, in_c).astype(np.int64) - x_zero).sum(axis=0)
    y[:] = np.clip(np.clip(requantise(sums, multiplier, shift), -1024, 1024) + y_zero, -128, 127)


@kernel()
def eff_mean_input_gradient_f32(d: Array, delta: Array, n: int, in_c: int) -> None:
    """d (n, in_c): delta (in_c,) / n at every position."""
    d.reshape(n, in_c)[:] = delta / np.float32(n)
