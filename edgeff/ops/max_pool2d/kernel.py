"""The largest of each window, its gradient and tangent."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate
from edgeff.kernels.overlap import pixel_by_pixel, single_channels
from edgeff.kernels.windows import positions_inside, taps_inside, windows


@kernel(overlap=pixel_by_pixel(single_channels, size=4))
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


@kernel(overlap=pixel_by_pixel(single_channels, size=1))
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
def eff_max_pool2d_tangent_f32(
    y: Array,
    dx: Array,
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
) -> None:
    """y (out_h, out_w, in_c) = dx where the first of each window's largest taps of x lies."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps, moves, inside = windows(x, *place), windows(dx, *place), windows(np.ones(in_h * in_w, bool), *place)
    found, largest, moved = (np.zeros((out_h, out_w, in_c), dtype) for dtype in (bool, np.float32, np.float32))
    for tap in range(k_h * k_w):
        at = (slice(None), slice(None), slice(None), *divmod(tap, k_w))
        better = inside[at] & (~found | (taps[at] > largest))
        found, largest, moved = found | better, np.where(better, taps[at], largest), np.where(better, moves[at], moved)
    y[:] = moved.reshape(-1)


@kernel()
def eff_max_pool2d_input_gradient_f32(
    d: Array,
    delta: Array,
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
) -> None:
    """d (in_h, in_w, in_c): every window adds delta to the first of its largest taps, in the order of (oy, ox) from 0."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps, inside = windows(x, *place), windows(np.ones(in_h * in_w, bool), *place)
    best, largest = np.full((out_h, out_w, in_c), -1), np.zeros((out_h, out_w, in_c), np.float32)
    for tap in range(k_h * k_w):
        ky, kx = divmod(tap, k_w)
        better = inside[:, :, :, ky, kx] & ((best < 0) | (taps[:, :, :, ky, kx] > largest))
        best, largest = np.where(better, tap, best), np.where(better, taps[:, :, :, ky, kx], largest)
    deltas = delta.reshape(out_h, out_w, in_c)
    sums = np.zeros((in_h, in_w, in_c), np.float32)
    for ky in reversed(range(k_h)):
        down, y = positions_inside(ky, stride_h, pad_h, in_h, out_h)
        for kx in reversed(range(k_w)):
            across, columns = positions_inside(kx, stride_w, pad_w, in_w, out_w)
            chosen = best[down, across] == ky * k_w + kx
            sums[y, columns] = np.where(chosen, sums[y, columns] + deltas[down, across], sums[y, columns])
    d[:] = sums.reshape(-1)


@kernel()
def eff_max_pool2d_input_gradient_i8(
    d: Array,
    delta: Array,
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
) -> None:
    """d (in_h, in_w, in_c): every window adds delta to the first of its largest taps, saturated, in the order of (oy, ox); both int16."""
    image, sums = x.reshape(in_h, in_w, in_c), np.zeros((in_h, in_w, in_c), np.int64)
    deltas, channels = delta.reshape(out_h, out_w, in_c), np.arange(in_c)
    for oy in range(out_h):
        _, y = taps_inside(oy, stride_h, pad_h, k_h, in_h)
        for ox in range(out_w):
            _, across = taps_inside(ox, stride_w, pad_w, k_w, in_w)
            taps = image[y, across]
            rows, columns = np.divmod(taps.reshape(-1, in_c).argmax(axis=0), taps.shape[1])
            here = (y.start + rows, across.start + columns, channels)
            sums[here] = np.clip(sums[here] + deltas[oy, ox], -32767, 32767)
    d[:] = sums.reshape(-1)
