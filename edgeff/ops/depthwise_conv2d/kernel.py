"""Depthwise convolution kernels: forward, update in place and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise
from edgeff.kernels.overlap import Chunk, pixel_by_pixel, runs
from edgeff.kernels.updates import _changed_i8, rate_of
from edgeff.kernels.windows import depthwise_macs, positions_inside, taps_inside, windows


def _channels(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Where each channel makes one: four at a time, then one by one. Else all that a channel makes, one by one."""
    channels, depth = int(attrs["in_c"]), int(attrs["depth"])
    if depth == 1:
        return [(first, end, first, end) for first, end in runs(channels, 4)]
    return [(made, made + 1, made // depth, made // depth + 1) for made in range(channels * depth)]


@kernel(macs=depthwise_macs, overlap=pixel_by_pixel(_channels, size=4))
def eff_depthwise_conv2d_f32(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    in_h: int,
    in_w: int,
    in_c: int,
    depth: int,
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
    """float32: x (in_h, in_w, in_c), w (k_h, k_w, in_c * depth), b (in_c * depth,) -> y (out_h, out_w, in_c * depth), in index order."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps = np.repeat(windows(x, *place), depth, axis=2)
    inside = windows(np.ones(in_h * in_w, bool), *place)[:, :, 0]
    weights = w.reshape(k_h, k_w, in_c * depth)
    sums = np.zeros((out_h, out_w, in_c * depth), np.float32)
    if b is not None:
        sums[:] = b
    for ky in range(k_h):
        for kx in range(k_w):
            sums = np.where(inside[:, :, ky, kx, None], sums + weights[ky, kx] * taps[:, :, :, ky, kx], sums)
    y[:] = activate(sums, relu).reshape(-1)


@kernel(macs=depthwise_macs, overlap=pixel_by_pixel(_channels, size=1))
def eff_depthwise_conv2d_i8(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    multiplier: Array,
    shift: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    depth: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    per_channel: int,
    x_zero: int,
    y_zero: int,
    y_min: int,
    y_max: int,
) -> None:
    """int8 by the TFLite 8-bit specification; multiplier and shift (1,) or, per channel, (in_c * depth,). k_h * k_w <= 32,768."""
    taps = windows(x.astype(np.int64) - x_zero, in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    weights = w.reshape(k_h, k_w, in_c * depth).astype(np.int64)
    sums = np.zeros((out_h, out_w, in_c * depth), np.int64)
    if b is not None:
        sums[:] = b
    for ky in range(k_h):
        for kx in range(k_w):
            sums += weights[ky, kx] * np.repeat(taps[:, :, :, ky, kx], depth, axis=2)
    y[:] = np.clip(np.clip(requantise(sums, multiplier, shift), -1024, 1024) + y_zero, y_min, y_max).reshape(-1)


@kernel(macs=depthwise_macs)
def eff_depthwise_conv2d_update_f32(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    depth: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    lr: float,
) -> None:
    """w (k_h, k_w, in_c * depth) -= (rate / 2**16) lr sum of delta x tap; the sum in the order of (oy, ox) from 0."""
    image = np.repeat(a.reshape(in_h, in_w, in_c), depth, axis=2)
    deltas = delta.reshape(out_h, out_w, in_c * depth)
    sums = np.zeros((k_h, k_w, in_c * depth), np.float32)
    for oy in range(out_h):
        down, y = taps_inside(oy, stride_h, pad_h, k_h, in_h)
        for ox in range(out_w):
            across, x = taps_inside(ox, stride_w, pad_w, k_w, in_w)
            sums[down, across] += deltas[oy, ox] * image[y, x]
    w -= rate_of(rate, lr) * sums.reshape(-1)


@kernel(macs=depthwise_macs)
def eff_depthwise_conv2d_update_i8(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    step: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    depth: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    a_zero: int,
    multiplier: int,
    shift: int,
    stochastic: int,
    key: int,
) -> None:
    """int8 weights: w -= (G + r) >> 22, saturated to +-127; see edgeff.h for G and r."""
    taps = windows(a.astype(np.int64) - a_zero, in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    deltas = delta.reshape(out_h, out_w, in_c * depth).astype(np.int64)
    sums = np.einsum("hwcyx,hwc->yxc", np.repeat(taps, depth, axis=2), deltas)
    w[:] = _changed_i8(w, sums.reshape(-1), rate, step, multiplier, shift, stochastic, key)


@kernel(macs=depthwise_macs)
def eff_depthwise_conv2d_input_gradient_f32(
    d: Array,
    delta: Array,
    w: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    depth: int,
    out_h: int,
    out_w: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """d (in_h, in_w, in_c): the sum of delta x weight over all windows, in the order of (ky, kx, q) from 0."""
    deltas, weights = delta.reshape(out_h, out_w, in_c, depth), w.reshape(k_h, k_w, in_c, depth)
    sums = np.zeros((in_h, in_w, in_c), np.float32)
    for ky in range(k_h):
        down, y = positions_inside(ky, stride_h, pad_h, in_h, out_h)
        for kx in range(k_w):
            across, x = positions_inside(kx, stride_w, pad_w, in_w, out_w)
            for q in range(depth):
                sums[y, x] += deltas[down, across, :, q] * weights[ky, kx, :, q]
    d[:] = sums.reshape(-1)
