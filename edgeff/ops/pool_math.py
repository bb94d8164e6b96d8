"""Host mathematics of pools over images (B, H, W, C): averages and largest values of windows, and their gradients.

``pool`` and ``stride`` (h, w), ``pads`` (top, left, bottom, right); results have the dtype of x. Padding is ignored, and every
window has a tap inside the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff.ops.parallel import cached, each, empty
from edgeff.ops.window_math import Floats, Pads, Pair, output_size, windows_of


def _taps(x: Floats, kernel: Pair, stride: Pair, pads: Pads, value: float = 0.0) -> list[Floats]:
    """The elements at each place of the window, row by row: views (B, OH, OW, C), valid until the next call."""
    size = (len(x), *output_size(x.shape, kernel, stride, pads), x.shape[3])
    views = windows_of(x, kernel, stride, pads, value)
    return [views[j % stride[1]][:, :, i, j // stride[1]].reshape(size) for i in range(kernel[0]) for j in range(kernel[1])]


def _scattered(values: list[Floats], shape: tuple[int, ...], kernel: Pair, stride: Pair, pads: Pads) -> Floats:
    """The values (B, OH, OW, C) of each place of the window, added at their places in the image: (B, *shape)."""
    top, left, bottom, right = pads
    batch, out_h, out_w, channels = values[0].shape
    padded = np.zeros((batch, shape[0] + top + bottom, shape[1] + left + right, channels), values[0].dtype)
    for place, value in enumerate(values):
        i, j = divmod(place, kernel[1])
        padded[:, i : i + (out_h - 1) * stride[0] + 1 : stride[0], j : j + (out_w - 1) * stride[1] + 1 : stride[1]] += value
    return padded[:, top : top + shape[0], left : left + shape[1]]


def _counts(shape: tuple[int, ...], pool: Pair, stride: Pair, pads: Pads, dtype: Any) -> Floats:
    """How many taps of each window lie inside the image, (1, OH, OW, 1)."""
    return np.asarray(sum(_taps(np.ones((1, *shape[1:3], 1), dtype), pool, stride, pads)))


def average_pool2d(x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The mean of each window's taps inside the image, (B, OH, OW, C)."""
    y = empty((len(x), *output_size(x.shape, pool, stride, pads), x.shape[3]), x.dtype)
    counts = _counts(x.shape, pool, stride, pads, x.dtype)

    def work(part: slice) -> None:
        taps = _taps(x[part], pool, stride, pads)
        y[part] = taps[0]
        for tap in taps[1:]:
            y[part] += tap
        y[part] /= counts

    each(work, cached(x, y))
    return y


def average_pool2d_gradient(delta: Floats, x_shape: tuple[int, ...], pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The gradient of x from delta (B, OH, OW, C)."""
    gradient, (_, out_h, out_w, channels) = empty(x_shape, delta.dtype), delta.shape
    counts = _counts(x_shape, pool, stride, pads, delta.dtype)
    side_by_side = pool == stride and not any(pads) and x_shape[1:3] == (out_h * pool[0], out_w * pool[1])

    def work(part: slice) -> None:
        shares = delta[part] / counts
        if side_by_side:
            gradient[part].reshape(-1, out_h, pool[0], out_w, pool[1], channels)[:] = shares[:, :, None, :, None]
        else:
            gradient[part] = _scattered([shares] * (pool[0] * pool[1]), x_shape[1:], pool, stride, pads)

    each(work, cached(delta, gradient))
    return gradient


def max_pool2d(x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The largest of each window's taps inside the image, (B, OH, OW, C)."""
    y = empty((len(x), *output_size(x.shape, pool, stride, pads), x.shape[3]), x.dtype)

    def work(part: slice) -> None:
        taps = _taps(x[part], pool, stride, pads, -np.inf)
        y[part] = taps[0]
        for tap in taps[1:]:
            np.maximum(y[part], tap, out=y[part])

    each(work, cached(x, y))
    return y


def max_pool2d_gradient(delta: Floats, x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The gradient of x from delta (B, OH, OW, C): all of it goes to the first largest tap of a window."""
    gradient, best = empty(x.shape, delta.dtype), max_pool2d(x, pool, stride, pads)

    def work(part: slice) -> None:
        free = np.ones(best[part].shape, bool)
        sent = []
        for tap in _taps(x[part], pool, stride, pads, -np.inf):
            here = free & (tap == best[part])
            free &= ~here
            sent.append(delta[part] * here)
        gradient[part] = _scattered(sent, x.shape[1:], pool, stride, pads)

    each(work, cached(delta, gradient))
    return gradient


def max_pool2d_tangent(dx: Floats, x: Floats, pool: Pair, stride: Pair, pads: Pads) -> Floats:
    """The change of the largest tap of each window, (B, OH, OW, C): dx (B, H, W, C) at the first largest tap of x."""
    best = max_pool2d(x, pool, stride, pads)
    moved = empty(best.shape, dx.dtype)

    def work(part: slice) -> None:
        free, out = np.ones(best[part].shape, bool), moved[part]
        out[:] = 0
        for tap, d in zip(_taps(x[part], pool, stride, pads, -np.inf), _taps(dx[part], pool, stride, pads), strict=True):
            here = free & (tap == best[part])
            free &= ~here
            np.copyto(out, d, where=here)

    each(work, cached(x, dx, moved))
    return moved
