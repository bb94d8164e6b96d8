"""What convolutions and pools send back to their input: gradients with respect to an image.

In comes delta (out_h, out_w, out_c) behind the layer's activation function, and the weights or the image that decided; out goes d, the
gradient (in_h, in_w, in_c). All are float32; those of pools, which a local head needs,
also go between int8 layers (``_i8``).
"""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import kernel
from edgeff.kernels.conv import conv_macs, depthwise_macs, group_channels, grouped_macs, windows
from edgeff.kernels.conv_learning import taps_inside


def positions_inside(tap: int, stride: int, pad: int, size: int, out: int) -> tuple[slice, slice]:
    """The positions whose tap number ``tap`` lies inside an image of ``size``, and where it lies there."""
    first, last = -(-max(pad - tap, 0) // stride), min((size - 1 + pad - tap) // stride + 1, out)
    if first >= last:
        return slice(0, 0), slice(0, 0)
    start = first * stride - pad + tap
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)


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


@kernel()
def eff_mean_input_gradient_f32(d: Array, delta: Array, n: int, in_c: int) -> None:
    """d (n, in_c): delta (in_c,) / n at every position."""
    d.reshape(n, in_c)[:] = delta / np.float32(n)
