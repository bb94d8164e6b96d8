"""The average of each window, and its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Variant, kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.overlap import Chunk, pixel_by_pixel, runs, single_channels
from edgeff.kernels.records import Range, Relu, StepI16, Window, Zero
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
from edgeff.kernels.windows import positions_inside, windows

Taps = Annotated[int, Range(1, 65_536)]


@kernel(overlap=pixel_by_pixel(single_channels, size=4))
def eff_average_pool2d_f32(y: OutImageF32, x: ImageF32, window: Window, relu: Relu) -> None:
    """float32: x (in_h, in_w, in_c) -> y (out_h, out_w, in_c); the taps inside are summed in the order of (ky, kx) and divided once."""
    taps = windows(x, window)
    inside = windows(np.ones(window.in_h * window.in_w, bool), window)
    sums = np.zeros((window.out_h, window.out_w, window.in_c), np.float32)
    for ky in range(window.k_h):
        for kx in range(window.k_w):
            sums = np.where(inside[:, :, :, ky, kx], sums + taps[:, :, :, ky, kx], sums)
    y[:] = activate(sums / inside.sum(axis=(3, 4)).astype(np.float32), relu).reshape(-1)


def _fours(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Four channels at a time, then one by one, each from itself."""
    return [(first, end, first, end) for first, end in runs(int(attrs["in_c"]), 4)]


DSP = Variant(
    "dsp",
    "dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(arguments["window"].k_w <= 255),
    overlap=pixel_by_pixel(_fours, size=1),
)


def _averages(x: Array, window: Window) -> Array:
    """The sums divided by the counts, rounded half away from zero."""
    sums = windows(x.astype(np.int64), window).sum(axis=(3, 4))
    count = windows(np.ones(window.in_h * window.in_w, np.int64), window).sum(axis=(3, 4))
    return np.asarray(np.sign(sums) * ((np.abs(sums) + count // 2) // count))


@kernel(variants=(DSP,), overlap=pixel_by_pixel(single_channels, size=1))
def eff_average_pool2d_i8(y: OutImageI8, x: ImageI8, window: Window, y_min: Zero, y_max: Zero) -> None:
    """int8: the sum divided by the count, rounded half away from zero (TFLite); one scale and zero point for both."""
    y[:] = np.clip(_averages(x, window), y_min, y_max).reshape(-1)


@kernel(overlap=pixel_by_pixel(single_channels, size=2))
def eff_average_pool2d_i16(y: OutImageI16, x: ImageI16, window: Window, y_min: StepI16, y_max: StepI16) -> None:
    """int16: as eff_average_pool2d_i8. k_h * k_w <= 32,768."""
    y[:] = np.clip(_averages(x, window), y_min, y_max).reshape(-1)


@kernel()
def eff_average_pool2d_input_gradient_f32(d: GradientImageF32, delta: DeltaImageF32, window: Window) -> None:
    """d (in_h, in_w, in_c): every window adds delta / (its taps inside the image) to each of them, in the order of (oy, ox) from 0."""
    count = windows(np.ones(window.in_h * window.in_w, np.float32), window).sum(axis=(3, 4))
    shares = delta.reshape(window.out_h, window.out_w, window.in_c) / count
    sums = np.zeros((window.in_h, window.in_w, window.in_c), np.float32)
    for ky in reversed(range(window.k_h)):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in reversed(range(window.k_w)):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            sums[y, x] += shares[down, across]
    d[:] = sums.reshape(-1)


@kernel()
def eff_average_pool2d_input_gradient_i8(d: GradientImageI16, delta: DeltaImageI16, window: Window, taps: Taps) -> None:
    """d (in_h, in_w, in_c): the sum of delta taps / count over the windows that hold a tap, saturated; both int16.

    ``count`` is the number of the window's taps inside the image; the quotient is rounded half away from zero. The division by ``taps`` is
    part of the scale of d. taps k_h k_w <= 65,536 keeps the sums within 32 bits; where every count is ``taps`` and no windows overlap,
    taps <= 65,536.
    """
    count = windows(np.ones(window.in_h * window.in_w, np.int64), window).sum(axis=(3, 4))
    deltas = delta.reshape(window.out_h, window.out_w, window.in_c).astype(np.int64)
    shares = np.sign(deltas) * ((np.abs(deltas) * taps + count // 2) // count)
    sums = np.zeros((window.in_h, window.in_w, window.in_c), np.int64)
    for ky in range(window.k_h):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in range(window.k_w):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            sums[y, x] += shares[down, across]
    d[:] = np.clip(sums, -32767, 32767).reshape(-1)
