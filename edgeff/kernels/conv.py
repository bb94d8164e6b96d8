"""Convolution kernels: ``y[oy, ox, o] = b[o] + sum over (ky, kx, c) of w[o, ky, kx, c] x[oy s_h + ky - p_h, ox s_w + kx - p_w, c]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.arithmetic import activate, requantise


def windows(
    x: Array, in_h: int, in_w: int, out_h: int, out_w: int, k_h: int, k_w: int, stride_h: int, stride_w: int, pad_h: int, pad_w: int
) -> Array:
    """The windows of an image as a view (out_h, out_w, C, k_h, k_w); x (in_h * in_w * C,) flat, zeros outside it."""
    image = x.reshape(in_h, in_w, -1)
    below, right = (out_h - 1) * stride_h + k_h - in_h - pad_h, (out_w - 1) * stride_w + k_w - in_w - pad_w
    padded = np.pad(image, ((pad_h, max(below, 0)), (pad_w, max(right, 0)), (0, 0)))
    every = sliding_window_view(padded, (k_h, k_w), (0, 1))
    return every[: (out_h - 1) * stride_h + 1 : stride_h, : (out_w - 1) * stride_w + 1 : stride_w]


def conv_macs(attrs: Mapping[str, Any]) -> int:
    """The products of every window of a convolution, those with taps outside the image among them."""
    return int(attrs["out_h"] * attrs["out_w"] * attrs["out_c"] * attrs["k_h"] * attrs["k_w"] * attrs["in_c"])


def grouped_macs(attrs: Mapping[str, Any]) -> int:
    """The products of every window of a grouped convolution, those with taps outside the image among them."""
    return conv_macs(attrs) // int(attrs["groups"])


def group_channels(groups: int, in_c: int, out_c: int) -> list[tuple[slice, slice]]:
    """The input and output channels of each group: both are cut into ``groups`` runs of one length."""
    seen, made = in_c // groups, out_c // groups
    return [(slice(seen * group, seen * (group + 1)), slice(made * group, made * (group + 1))) for group in range(groups)]


def depthwise_macs(attrs: Mapping[str, Any]) -> int:
    """The products of every window of a depthwise convolution, those with taps outside the image among them."""
    return int(attrs["out_h"] * attrs["out_w"] * attrs["in_c"] * attrs["depth"] * attrs["k_h"] * attrs["k_w"])


@kernel(macs=conv_macs)
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


@kernel(macs=conv_macs)
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


@kernel(macs=grouped_macs)
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


@kernel(macs=grouped_macs)
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


@kernel(macs=depthwise_macs)
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


@kernel(macs=depthwise_macs)
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
