"""The largest of each window, its gradient and tangent."""

from __future__ import annotations

import numpy as np

from edgeff.kernels import kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.overlap import pixel_by_pixel, single_channels
from edgeff.kernels.records import Relu, StepI16, Window, Zero
from edgeff.kernels.tensors import (
    DeltaImageF32,
    DeltaImageI16,
    GradientImageF32,
    GradientImageI16,
    ImageF32,
    ImageI8,
    ImageI16,
    OutImageF32,
    OutImageI8,
    OutImageI16,
)
from edgeff.kernels.windows import positions_inside, taps_inside, windows


@kernel(overlap=pixel_by_pixel(single_channels, size=4))
def eff_max_pool2d_f32(y: OutImageF32, x: ImageF32, window: Window, relu: Relu) -> None:
    """float32: the first largest of the taps inside the image."""
    taps = windows(x, window)
    inside = windows(np.ones(window.in_h * window.in_w, bool), window)
    best = np.full((window.out_h, window.out_w, window.in_c), -np.inf, np.float32)
    for ky in range(window.k_h):
        for kx in range(window.k_w):
            tap = taps[:, :, :, ky, kx]
            best = np.where(inside[:, :, :, ky, kx] & (tap > best), tap, best)
    y[:] = activate(best, relu).reshape(-1)


@kernel(overlap=pixel_by_pixel(single_channels, size=1))
def eff_max_pool2d_i8(y: OutImageI8, x: ImageI8, window: Window, y_min: Zero, y_max: Zero) -> None:
    """int8: the largest of the taps inside the image; one scale and zero point for both."""
    taps = windows(x.astype(np.int64) + 128, window)
    y[:] = np.clip(taps.max(axis=(3, 4)) - 128, y_min, y_max).reshape(-1)


@kernel(overlap=pixel_by_pixel(single_channels, size=2))
def eff_max_pool2d_i16(y: OutImageI16, x: ImageI16, window: Window, y_min: StepI16, y_max: StepI16) -> None:
    """int16: the largest of the taps inside the image; one scale for both."""
    taps = windows(x.astype(np.int64) + 32768, window)
    y[:] = np.clip(taps.max(axis=(3, 4)) - 32768, y_min, y_max).reshape(-1)


@kernel()
def eff_max_pool2d_tangent_f32(y: OutImageF32, dx: ImageF32, x: ImageF32, window: Window) -> None:
    """y (out_h, out_w, in_c) = dx where the first of each window's largest taps of x lies."""
    taps, moves, inside = windows(x, window), windows(dx, window), windows(np.ones(window.in_h * window.in_w, bool), window)
    started, largest, moved = (np.zeros((window.out_h, window.out_w, window.in_c), dtype) for dtype in (bool, np.float32, np.float32))
    for tap in range(window.k_h * window.k_w):
        at = (slice(None), slice(None), slice(None), *divmod(tap, window.k_w))
        better = inside[at] & (~started | (taps[at] > largest))
        started, largest, moved = started | better, np.where(better, taps[at], largest), np.where(better, moves[at], moved)
    y[:] = moved.reshape(-1)


@kernel()
def eff_max_pool2d_input_gradient_f32(d: GradientImageF32, delta: DeltaImageF32, x: ImageF32, window: Window) -> None:
    """d (in_h, in_w, in_c): every window adds delta to the first of its largest taps, in the order of (oy, ox) from 0."""
    taps, inside = windows(x, window), windows(np.ones(window.in_h * window.in_w, bool), window)
    best, largest = np.full((window.out_h, window.out_w, window.in_c), -1), np.zeros((window.out_h, window.out_w, window.in_c), np.float32)
    for tap in range(window.k_h * window.k_w):
        ky, kx = divmod(tap, window.k_w)
        better = inside[:, :, :, ky, kx] & ((best < 0) | (taps[:, :, :, ky, kx] > largest))
        best, largest = np.where(better, tap, best), np.where(better, taps[:, :, :, ky, kx], largest)
    deltas = delta.reshape(window.out_h, window.out_w, window.in_c)
    sums = np.zeros((window.in_h, window.in_w, window.in_c), np.float32)
    for ky in reversed(range(window.k_h)):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in reversed(range(window.k_w)):
            across, columns = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            chosen = best[down, across] == ky * window.k_w + kx
            sums[y, columns] = np.where(chosen, sums[y, columns] + deltas[down, across], sums[y, columns])
    d[:] = sums.reshape(-1)


@kernel()
def eff_max_pool2d_input_gradient_i8(d: GradientImageI16, delta: DeltaImageI16, x: ImageI8, window: Window) -> None:
    """d (in_h, in_w, in_c): every window adds delta to the first of its largest taps, saturated, in the order of (oy, ox); both int16."""
    image, sums = x.reshape(window.in_h, window.in_w, window.in_c), np.zeros((window.in_h, window.in_w, window.in_c), np.int64)
    deltas, channels = delta.reshape(window.out_h, window.out_w, window.in_c), np.arange(window.in_c)
    for oy in range(window.out_h):
        _, y = taps_inside(oy, window.stride_h, window.pad_h, window.k_h, window.in_h)
        for ox in range(window.out_w):
            _, across = taps_inside(ox, window.stride_w, window.pad_w, window.k_w, window.in_w)
            taps = image[y, across]
            rows, columns = np.divmod(taps.reshape(-1, window.in_c).argmax(axis=0), taps.shape[1])
            here = (y.start + rows, across.start + columns, channels)
            sums[here] = np.clip(sums[here] + deltas[oy, ox], -32767, 32767)
    d[:] = sums.reshape(-1)
