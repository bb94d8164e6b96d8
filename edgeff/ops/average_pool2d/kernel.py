"""The average of each window, and its gradient."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate
from edgeff.kernels.overlap import pixel_by_pixel, single_channels
from edgeff.kernels.windows import positions_inside, windows


@kernel(overlap=pixel_by_pixel(single_channels, size=4))
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


@kernel(overlap=pixel_by_pixel(single_channels, size=1))
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
def eff_average_pool2d_input_gradient_f32(
    d: Array,
    delta: Array,
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
) -> None:
    """d (in_h, in_w, in_c): every window adds delta / (its taps inside the image) to each of them, in the order of (oy, ox) from 0."""
    count = windows(np.ones(in_h * in_w, np.float32), in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w).sum(axis=(3, 4))
    shares = delta.reshape(out_h, out_w, in_c) / count
    sums = np.zeros((in_h, in_w, in_c), np.float32)
    for ky in reversed(range(k_h)):
        down, y = positions_inside(ky, stride_h, pad_h, in_h, out_h)
        for kx in reversed(range(k_w)):
            across, x = positions_inside(kx, stride_w, pad_w, in_w, out_w)
            sums[y, x] += shares[down, across]
    d[:] = sums.reshape(-1)


@kernel()
def eff_average_pool2d_input_gradient_i8(
    d: Array,
    delta: Array,
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
) -> None:
    """d (in_h, in_w, in_c): the sum of delta over the windows that hold a tap, saturated; both int16.

    Without padding every window has as many taps, and the division by them is in the scale of d.
    """
    deltas = delta.reshape(out_h, out_w, in_c).astype(np.int64)
    sums = np.zeros((in_h, in_w, in_c), np.int64)
    for ky in range(k_h):
        down, y = positions_inside(ky, stride_h, pad_h, in_h, out_h)
        for kx in range(k_w):
            across, x = positions_inside(kx, stride_w, pad_w, in_w, out_w)
            sums[y, x] += deltas[down, across]
    d[:] = np.clip(sums, -32767, 32767).reshape(-1)
