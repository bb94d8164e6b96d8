"""Learning in convolutions: their weights change in place by the sum over positions of delta x patch, and no gradient is ever stored.

In come an image a (in_h, in_w, in_c), delta (out_h, out_w, out_c) behind the activation function and the layer's parameters, laid out as
in ``conv``; out go the changed parameters. One sample at a time; a mean over positions is for the learning rate to say.
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.conv import conv_macs, depthwise_macs, group_channels, grouped_macs, windows
from edgeff.kernels.update import BIAS_LIMIT, FRACTION_I8, gain_of, rate_of, rounding_of

MOST_POSITIONS = 65_536
"""So many int16 deltas sum up in 32 bits."""


def taps_inside(position: int, stride: int, pad: int, taps: int, size: int) -> tuple[slice, slice]:
    """The taps of the window at ``position`` that lie inside an image of ``size``, and where they lie in it."""
    start = position * stride - pad
    first = max(0, -start)
    last = max(min(taps, size - start), first)
    return slice(first, last), slice(start + first, start + last)


def _changed_i8(w: Array, sums: Array, rate: Array, step: Array, multiplier: int, shift: int, stochastic: int, key: int) -> Array:
    """w after its step, of w's shape, from the exact sums in the order of w."""
    gain = gain_of(np.clip(sums, -(2**31), 2**31 - 1), multiplier, shift, rate, BIAS_LIMIT)
    change = (gain + rounding_of(1, w.size, key, step, FRACTION_I8, stochastic)[0]) >> FRACTION_I8
    return np.clip(w - change, -127, 127)


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
