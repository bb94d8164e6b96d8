"""Pooling kernels: the average or the largest of the taps of a window that lie inside the image, and the mean over all positions."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise
from edgeff.kernels.conv import windows


@kernel()
def eff_average_pool2d_f32(
    y: Array,
    x: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    relu: int,
) -> None:
    """float32: x (in_h, in_w, in_c) -> y (out_h, out_w, in_c); the taps inside are summed in the order of (ky, kx) and divided once."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps = windows(x, *place)
    inside = windows(np.ones(in_h * in_w, bool), *place)
    sums = np.zeros((out_h, out_w, in_c), np.float32)
    for ky in range(k_h):
        for kx in range(k_w):
            sums = np.where(inside[:, :, :, ky, kx], sums + taps[:, :, :, ky, kx], sums)
    y[:] = activate(sums / inside.sum(axis=(3, 4)).astype(np.float32), relu).reshape(-1)


@kernel()
def eff_average_pool2d_i8(
    y: Array,
    x: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    y_min: int,
    y_max: int,
) -> None:
    """int8: the sum over the count, rounded half away from zero (TFLite); one scale and zero point for both."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    sums = windows(x.astype(np.int64), *place).sum(axis=(3, 4))
    count = windows(np.ones(in_h * in_w, np.int64), *place).sum(axis=(3, 4))
    y[:] = np.clip(np.sign(sums) * ((np.abs(sums) + count // 2) // count), y_min, y_max).reshape(-1)


@kernel()
def eff_max_pool2d_f32(
    y: Array,
    x: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    relu: int,
) -> None:
    """float32: the first largest of the taps inside the image."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps = windows(x, *place)
    inside = windows(np.ones(in_h * in_w, bool), *place)
    best = np.full((out_h, out_w, in_c), -np.inf, np.float32)
    for ky in range(k_h):
        for kx in range(k_w):
            tap = taps[:, :, :, ky, kx]
            best = np.where(inside[:, :, :, ky, kx] & (tap > best), tap, best)
    y[:] = activate(best, relu).reshape(-1)


@kernel()
def eff_max_pool2d_i8(
    y: Array,
    x: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    y_min: int,
    y_max: int,
) -> None:
    """int8: the largest of the taps inside the image; one scale and zero point for both."""
    taps = windows(x.astype(np.int64) + 128, in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    y[:] = np.clip(taps.max(axis=(3, 4)) - 128, y_min, y_max).reshape(-1)


@kernel()
def eff_mean_f32(y: Array, x: Array, n: int, in_c: int) -> None:
    """float32: x (n, in_c) -> y (in_c,), each channel's sum in index order over n."""
    rows = x.reshape(n, in_c)
    sums = np.zeros(in_c, np.float32)
    for row in rows:
        sums = sums + row
    y[:] = sums / np.float32(n)


@kernel()
def eff_mean_i8(y: Array, x: Array, n: int, in_c: int, x_zero: int, y_zero: int, multiplier: int, shift: int) -> None:
    """int8: the sum of n values without their zero point times s_x / (n s_y), requantised once. n <= 2**23."""
    sums = (x.reshape(n, in_c).astype(np.int64) - x_zero).sum(axis=0)
    y[:] = np.clip(np.clip(requantise(sums, multiplier, shift), -1024, 1024) + y_zero, -128, 127)
