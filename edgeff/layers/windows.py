"""Host mathematics of windows over images: convolutions by gathered patches and BLAS, depthwise convolutions and pools by shifted views.

Images are (B, H, W, C), ``stride`` (h, w), ``pads`` (top, left, bottom, right); results have the dtype of x. A batch is worked off in slices
that keep their patches in the cache, on all cores (``edgeff.layers.parallel``); slices do not depend on the count of cores, and sums over
them are added in order, so neither do the results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from edgeff.layers.parallel import each, scratch, slices, total

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Floats = NDArray[Any]
PATCH_BYTES = 1 << 19


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """The padding (before, after) that TFLite's SAME gives along an axis of ``size``: ceil(size / stride) outputs.

    >>> same_padding(10, 4, 2)
    (1, 1)
    """
    both = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return both // 2, both - both // 2


def output_size(shape: tuple[int, ...], kernel: Pair, stride: Pair, pads: Pads) -> Pair:
    """The height and width of the output for an image batch of ``shape`` (B, H, W, C)."""
    top, left, bottom, right = pads
    return (shape[1] + top + bottom - kernel[0]) // stride[0] + 1, (shape[2] + left + right - kernel[1]) // stride[1] + 1


def _padded(x: Floats, pads: Pads, value: float = 0.0) -> Floats:
    top, left, bottom, right = pads
    if not any(pads):
        return x
    batch, height, width, channels = x.shape
    shape = (batch, height + top + bottom, width + left + right, channels)
    padded = scratch(pads, shape, x.dtype) if value == 0.0 else np.full(shape, value, x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


def _patches(x: Floats, kernel: Pair, stride: Pair, pads: Pads) -> Floats:
    """The windows of x as rows (B * OH * OW, KH * KW * C)."""
    if kernel == (1, 1) and not any(pads):
        return np.ascontiguousarray(x[:, :: stride[0], :: stride[1]]).reshape(-1, x.shape[3])
    padded, size = _padded(x, pads), output_size(x.shape, kernel, stride, pads)
    image, row, column, item = padded.strides
    rows = scratch("patches", (len(x), *size, *kernel, x.shape[3]), x.dtype)
    np.copyto(rows, as_strided(padded, rows.shape, (image, row * stride[0], column * stride[1], row, column, item), writeable=False))
    return rows.reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def _images(shape: tuple[int, ...], kernel: Pair, size: Pair, item_bytes: int) -> list[slice]:
    """The slices of a batch whose patches fit the cache."""
    return slices(shape[0], PATCH_BYTES // max(size[0] * size[1] * kernel[0] * kernel[1] * shape[3] * item_bytes, 1))


def conv2d(x: Floats, weight: Floats, stride: Pair, pads: Pads) -> Floats:
    """x (B, H, W, C) by weight (C_out, KH, KW, C) -> (B, OH, OW, C_out)."""
    kernel = weight.shape[1:3]
    size = output_size(x.shape, kernel, stride, pads)
    matrix = np.ascontiguousarray(weight.reshape(len(weight), -1).T)
    y = np.empty((len(x), *size, len(weight)), x.dtype)

    def work(part: slice) -> None:
        np.matmul(_patches(x[part], kernel, stride, pads), matrix, out=y[part].reshape(-1, len(weight)))

    each(work, _images(x.shape, kernel, size, x.itemsize))
    return y


def conv2d_weight_gradient(delta: Floats, x: Floats, kernel: Pair, stride: Pair, pads: Pads) -> Floats:
    """The gradient of the weight (C_out, KH, KW, C), summed over batch and positions, from delta (B, OH, OW, C_out)."""
    outputs = delta.shape[3]

    def work(part: slice) -> Floats:
        return np.asarray(delta[part].reshape(-1, outputs).T @ _patches(x[part], kernel, stride, pads))

    made = total(work, _images(x.shape, kernel, delta.shape[1:3], x.itemsize))
    return made.reshape(outputs, *kernel, x.shape[3])


def conv2d_input_gradient(delta: Floats, weight: Floats, x_shape: tuple[int, ...], stride: Pair, pads: Pads) -> Floats:
    """The gradient of x (B, H, W, C) from delta (B, OH, OW, C_out)."""
    kernel = weight.shape[1:3]
    if stride == (1, 1) and min(_mirrored(delta.shape, kernel, x_shape, pads)) >= 0:
        flipped = np.ascontiguousarray(weight[:, ::-1, ::-1].transpose(3, 1, 2, 0))
        return conv2d(delta, flipped, (1, 1), _mirrored(delta.shape, kernel, x_shape, pads))
    made = np.empty(x_shape, delta.dtype)
    matrix = weight.reshape(len(weight), -1)

    def work(part: slice) -> None:
        rows = delta[part].reshape(-1, len(weight)) @ matrix
        windows = rows.reshape(*delta[part].shape[:3], *kernel, x_shape[3])
        made[part] = _scattered([[windows[:, :, :, i, j] for j in range(kernel[1])] for i in range(kernel[0])], x_shape[1:], stride, pads)

    each(work, _images(x_shape, kernel, delta.shape[1:3], delta.itemsize))
    return made


def _mirrored(delta_shape: tuple[int, ...], kernel: Pair, x_shape: tuple[int, ...], pads: Pads) -> Pads:
    """The padding of delta that makes a convolution of stride 1 with the flipped kernel as large as x."""
    before = kernel[0] - 1 - pads[0], kernel[1] - 1 - pads[1]
    after = tuple(x_shape[1 + i] - delta_shape[1 + i] + kernel[i] - 1 - before[i] for i in (0, 1))
    return before[0], before[1], after[0], after[1]


def _scattered(taps: list[list[Floats]], shape: tuple[int, ...], stride: Pair, pads: Pads) -> Floats:
    """Each tap's values (B, OH, OW, C) added where the tap lies: (B, *shape)."""
    top, left, bottom, right = pads
    batch, out_h, out_w, channels = taps[0][0].shape
    padded = np.zeros((batch, shape[0] + top + bottom, shape[1] + left + right, channels), taps[0][0].dtype)
    for i, row in enumerate(taps):
        for j, values in enumerate(row):
            padded[:, i : i + (out_h - 1) * stride[0] + 1 : stride[0], j : j + (out_w - 1) * stride[1] + 1 : stride[1]] += values
    return padded[:, top : top + shape[0], left : left + shape[1]]


def _taps(x: Floats, kernel: Pair, stride: Pair, pads: Pads, value: float = 0.0) -> list[list[Floats]]:
    """For each place in the window the view (B, OH, OW, C) of what lies there."""
    out_h, out_w = output_size(x.shape, kernel, stride, pads)
    padded = _padded(x, pads, value)
    return [
        [
            padded[:, i : i + (out_h - 1) * stride[0] + 1 : stride[0], j : j + (out_w - 1) * stride[1] + 1 : stride[1]]
            for j in range(kernel[1])
        ]
        for i in range(kernel[0])
    ]


def _by_image(x: Floats) -> list[slice]:
    return slices(len(x), PATCH_BYTES // max(x[:1].nbytes, 1))


def depthwise_conv2d(x: Floats, weight: Floats, stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """x (B, H, W, C) by weight (KH, KW, C * multiplier) -> (B, OH, OW, C * multiplier)."""
    kernel = weight.shape[:2]
    y = np.empty((len(x), *output_size(x.shape, kernel, stride, pads), weight.shape[2]), x.dtype)

    def work(part: slice) -> None:
        out = y[part]
        out[:] = 0
        product = np.empty_like(out)
        for i, row in enumerate(_taps(_repeated(x[part], multiplier), kernel, stride, pads)):
            for j, tap in enumerate(row):
                np.multiply(tap, weight[i, j], out=product)
                out += product

    each(work, _by_image(x))
    return y


def _repeated(x: Floats, multiplier: int) -> Floats:
    return x if multiplier == 1 else np.repeat(x, multiplier, axis=3)


def depthwise_weight_gradient(delta: Floats, x: Floats, kernel: Pair, stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """The gradient of the weight (KH, KW, C * multiplier), summed over batch and positions."""

    def work(part: slice) -> Floats:
        taps = _taps(_repeated(x[part], multiplier), kernel, stride, pads)
        ones = np.ones(delta[part][..., 0].size, delta.dtype)
        return np.array([[ones @ (tap * delta[part]).reshape(-1, delta.shape[3]) for tap in row] for row in taps])

    return total(work, _by_image(x))


def depthwise_input_gradient(delta: Floats, weight: Floats, x_shape: tuple[int, ...], stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """The gradient of x (B, H, W, C) from delta (B, OH, OW, C * multiplier)."""
    made = np.empty(x_shape, delta.dtype)

    def work(part: slice) -> None:
        taps = [[delta[part] * tap for tap in row] for row in weight]
        back = _scattered(taps, x_shape[1:], stride, pads)
        made[part] = back if multiplier == 1 else back.reshape(*back.shape[:3], x_shape[3], multiplier).sum(axis=4)

    each(work, _by_image(delta))
    return made


def _counts(shape: tuple[int, ...], pool: Pair, stride: Pair, pads: Pads, dtype: Any) -> Floats:
    """How many taps of each window lie inside the image, (1, OH, OW, 1)."""
    taps = _taps(np.ones((1, *shape[1:3], 1), dtype), pool, stride, pads)
    return np.asarray(sum(tap for row in taps for tap in row))


def average_pool2d(x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The mean of each window's taps inside the image, (B, OH, OW, C)."""
    taps = [tap for row in _taps(x, pool, stride, pads) for tap in row]
    sums = taps[0].copy()
    for tap in taps[1:]:
        sums += tap
    return np.asarray(sums / _counts(x.shape, pool, stride, pads, x.dtype))


def average_pool2d_gradient(delta: Floats, x_shape: tuple[int, ...], pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The gradient of x from delta (B, OH, OW, C)."""
    share = delta / _counts(x_shape, pool, stride, pads, delta.dtype)
    return _scattered([[share] * pool[1]] * pool[0], x_shape[1:], stride, pads)


def max_pool2d(x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The largest of each window's taps inside the image, (B, OH, OW, C)."""
    taps = [tap for row in _taps(x, pool, stride, pads, -np.inf) for tap in row]
    best = taps[0].copy()
    for tap in taps[1:]:
        np.maximum(best, tap, out=best)
    return best


def max_pool2d_gradient(delta: Floats, x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The gradient of x from delta (B, OH, OW, C): all of it goes to the first largest tap of a window."""
    taps = _taps(x, pool, stride, pads, -np.inf)
    best = max_pool2d(x, pool, stride, pads)
    free = np.ones(best.shape, bool)
    sent: list[list[Floats]] = []
    for row in taps:
        sent.append([])
        for tap in row:
            here = free & (tap == best)
            free &= ~here
            sent[-1].append(delta * here)
    return _scattered(sent, x.shape[1:], stride, pads)
