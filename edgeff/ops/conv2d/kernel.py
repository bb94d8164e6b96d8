"""Convolution kernels, in groups or not: forward, update in place and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise
from edgeff.kernels.overlap import Chunk, pixel_by_pixel, runs
from edgeff.kernels.updates import BIAS_LIMIT, _changed_i8, gain_of, rate_of
from edgeff.kernels.windows import conv_macs, group_channels, grouped_macs, positions_inside, taps_inside, windows


def _filters_f32(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Four filters at a time, then one by one; each reads every channel."""
    return [(first, end, 0, int(attrs["in_c"])) for first, end in runs(int(attrs["out_c"]), 4)]


def _filters_i8(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Four filters at a time, the rest together; each reads every channel."""
    out_c = int(attrs["out_c"])
    return [(first, min(first + 4, out_c), 0, int(attrs["in_c"])) for first in range(0, out_c, 4)]


def _group_filters(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Group by group four filters at a time, then one by one; each reads its group's channels."""
    groups = group_channels(int(attrs["groups"]), int(attrs["in_c"]), int(attrs["out_c"]))
    return [
        (made.start + first, made.start + end, seen.start, seen.stop)
        for seen, made in groups
        for first, end in runs(made.stop - made.start, 4)
    ]


@kernel(macs=conv_macs, overlap=pixel_by_pixel(_filters_f32, size=4))
def eff_conv2d_f32(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    relu: int,
) -> None:
    """float32: x (in_h, in_w, in_c), w (out_c, k_h, k_w, in_c), b (out_c,) -> y (out_h, out_w, out_c), summed from b in index order."""
    place = (in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    taps = windows(x, *place)
    inside = windows(np.ones(in_h * in_w, bool), *place)[:, :, 0]
    weights = w.reshape(out_c, k_h, k_w, in_c)
    sums = np.zeros((out_h, out_w, out_c), np.float32)
    if b is not None:
        sums[:] = b
    for ky in range(k_h):
        for kx in range(k_w):
            there = inside[:, :, ky, kx, None]
            everywhere = bool(there.all())
            for c in range(in_c):
                added = sums + weights[:, ky, kx, c] * taps[:, :, c, ky, kx, None]
                sums = added if everywhere else np.where(there, added, sums)
    y[:] = activate(sums, relu).reshape(-1)


@kernel(macs=conv_macs, overlap=pixel_by_pixel(_filters_i8, size=1))
def eff_conv2d_i8(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    multiplier: Array,
    shift: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
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
    """int8 by the TFLite 8-bit specification; multiplier and shift (1,) or, per channel, (out_c,). The sums are exact in float64."""
    taps = windows(x.astype(np.float64) - x_zero, in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    rows = taps.transpose(0, 1, 3, 4, 2).reshape(out_h * out_w, -1)
    sums = (rows @ w.reshape(out_c, -1).astype(np.float64).T).astype(np.int64)
    if b is not None:
        sums = sums + b
    y[:] = np.clip(np.clip(requantise(sums, multiplier, shift), -1024, 1024) + y_zero, y_min, y_max).reshape(-1)


@kernel(macs=grouped_macs, overlap=pixel_by_pixel(_group_filters, size=4))
def eff_grouped_conv2d_f32(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    groups: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    relu: int,
) -> None:
    """float32: as ``eff_conv2d_f32`` of each group; w (out_c, k_h, k_w, in_c / groups)."""
    image, made, weights = x.reshape(in_h, in_w, in_c), y.reshape(out_h, out_w, out_c), w.reshape(out_c, -1)
    window = (k_h, k_w, stride_h, stride_w, pad_h, pad_w, relu)
    for seen, outputs in group_channels(groups, in_c, out_c):
        part = np.empty((out_h, out_w, out_c // groups), np.float32)
        sizes = (in_h, in_w, in_c // groups, out_h, out_w, out_c // groups)
        own = None if b is None else b[outputs]
        eff_conv2d_f32(part.reshape(-1), image[..., seen].reshape(-1), weights[outputs].reshape(-1), own, *sizes, *window)
        made[..., outputs] = part


@kernel(macs=grouped_macs, overlap=pixel_by_pixel(_group_filters, size=1))
def eff_grouped_conv2d_i8(
    y: Array,
    x: Array,
    w: Array,
    b: Array | None,
    multiplier: Array,
    shift: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    groups: int,
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
    """int8: as ``eff_conv2d_i8`` of each group; w (out_c, k_h, k_w, in_c / groups)."""
    image, made, weights = x.reshape(in_h, in_w, in_c), y.reshape(out_h, out_w, out_c), w.reshape(out_c, -1)
    window = (k_h, k_w, stride_h, stride_w, pad_h, pad_w, per_channel, x_zero, y_zero, y_min, y_max)
    for seen, outputs in group_channels(groups, in_c, out_c):
        part = np.empty((out_h, out_w, out_c // groups), np.int8)
        scales = (multiplier[outputs], shift[outputs]) if per_channel else (multiplier, shift)
        sizes = (in_h, in_w, in_c // groups, out_h, out_w, out_c // groups)
        own = None if b is None else b[outputs]
        eff_conv2d_i8(part.reshape(-1), image[..., seen].reshape(-1), weights[outputs].reshape(-1), own, *scales, *sizes, *window)
        made[..., outputs] = part


@kernel(macs=conv_macs)
def eff_conv2d_update_f32(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    lr: float,
) -> None:
    """w (out_c, k_h, k_w, in_c) -= (rate / 2**16) lr sum of delta x patch; the sum in the order of (oy, ox) from 0."""
    image, deltas = a.reshape(in_h, in_w, in_c), delta.reshape(out_h, out_w, out_c)
    sums = np.zeros((out_c, k_h, k_w, in_c), np.float32)
    for oy in range(out_h):
        down, y = taps_inside(oy, stride_h, pad_h, k_h, in_h)
        for ox in range(out_w):
            across, x = taps_inside(ox, stride_w, pad_w, k_w, in_w)
            sums[:, down, across] += deltas[oy, ox, :, None, None, None] * image[y, x]
    w -= rate_of(rate, lr) * sums.reshape(-1)


@kernel(macs=conv_macs)
def eff_conv2d_update_i8(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    step: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
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
    """int8 weights: w -= (G + r) >> 22, saturated to +-127; see edgeff.h for G and r. The sums are exact in float64."""
    taps = windows(a.astype(np.float64) - a_zero, in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
    rows = taps.transpose(0, 1, 3, 4, 2).reshape(out_h * out_w, -1)
    sums = (delta.reshape(-1, out_c).astype(np.float64).T @ rows).astype(np.int64)
    w[:] = _changed_i8(w, sums.reshape(-1), rate, step, multiplier, shift, stochastic, key)


@kernel(macs=grouped_macs)
def eff_grouped_conv2d_update_f32(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    groups: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    lr: float,
) -> None:
    """As ``eff_conv2d_update_f32`` of each group; w (out_c, k_h, k_w, in_c / groups)."""
    image, deltas, weights = a.reshape(in_h, in_w, in_c), delta.reshape(out_h, out_w, out_c), w.reshape(out_c, -1)
    for seen, outputs in group_channels(groups, in_c, out_c):
        sizes = (in_h, in_w, in_c // groups, out_h, out_w, out_c // groups, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
        own = weights[outputs].reshape(-1)
        eff_conv2d_update_f32(own, deltas[..., outputs].reshape(-1), image[..., seen].reshape(-1), rate, *sizes, lr)
        weights[outputs] = own.reshape(out_c // groups, -1)


@kernel(macs=grouped_macs)
def eff_grouped_conv2d_update_i8(
    w: Array,
    delta: Array,
    a: Array,
    rate: Array,
    step: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    groups: int,
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
    """As ``eff_conv2d_update_i8``, each group from its own channels of a; w (out_c, k_h, k_w, in_c / groups)."""
    image, deltas = a.reshape(in_h, in_w, in_c).astype(np.float64) - a_zero, delta.reshape(-1, out_c).astype(np.float64)
    sums = []
    for seen, outputs in group_channels(groups, in_c, out_c):
        taps = windows(image[..., seen], in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
        rows = taps.transpose(0, 1, 3, 4, 2).reshape(out_h * out_w, -1)
        sums.append((deltas[:, outputs].T @ rows).astype(np.int64).reshape(-1))
    w[:] = _changed_i8(w, np.concatenate(sums), rate, step, multiplier, shift, stochastic, key)


@kernel()
def eff_conv_bias_update_f32(b: Array, delta: Array, rate: Array, n: int, out_c: int, lr: float) -> None:
    """b (out_c,) -= (rate / 2**16) lr sum of delta (n, out_c) over its n positions, in index order from 0."""
    sums = np.zeros(out_c, np.float32)
    for row in delta.reshape(n, out_c):
        sums += row
    b -= rate_of(rate, lr) * sums


@kernel()
def eff_conv_bias_update_i32(b: Array, delta: Array, rate: Array, n: int, out_c: int, multiplier: int, shift: int) -> None:
    """b -= requantise(sum of delta (n, out_c)) rate, rounded to nearest. n <= 65,536."""
    sums = delta.reshape(n, out_c).astype(np.int64).sum(axis=0)
    b[:] = np.clip(b - gain_of(sums, multiplier, shift, rate, BIAS_LIMIT), -BIAS_LIMIT, BIAS_LIMIT)


@kernel(macs=conv_macs)
def eff_conv2d_input_gradient_f32(
    d: Array,
    delta: Array,
    w: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """d (in_h, in_w, in_c): the sum of delta x weight over all windows, in the order of (ky, kx, o) from 0."""
    deltas, weights = delta.reshape(out_h, out_w, out_c), w.reshape(out_c, k_h, k_w, in_c)
    sums = np.zeros((in_h, in_w, in_c), np.float32)
    for ky in range(k_h):
        down, y = positions_inside(ky, stride_h, pad_h, in_h, out_h)
        for kx in range(k_w):
            across, x = positions_inside(kx, stride_w, pad_w, in_w, out_w)
            for o in range(out_c):
                sums[y, x] += deltas[down, across, o, None] * weights[o, ky, kx]
    d[:] = sums.reshape(-1)


@kernel(macs=grouped_macs)
def eff_grouped_conv2d_input_gradient_f32(
    d: Array,
    delta: Array,
    w: Array,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    groups: int,
    k_h: int,
    k_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """As ``eff_conv2d_input_gradient_f32`` of each group; w (out_c, k_h, k_w, in_c / groups)."""
    image, deltas, weights = d.reshape(in_h, in_w, in_c), delta.reshape(out_h, out_w, out_c), w.reshape(out_c, -1)
    for seen, outputs in group_channels(groups, in_c, out_c):
        sizes = (in_h, in_w, in_c // groups, out_h, out_w, out_c // groups, k_h, k_w, stride_h, stride_w, pad_h, pad_w)
        part = np.empty((in_h, in_w, in_c // groups), np.float32)
        eff_conv2d_input_gradient_f32(part.reshape(-1), deltas[..., outputs].reshape(-1), weights[outputs].reshape(-1), *sizes)
        image[..., seen] = part
