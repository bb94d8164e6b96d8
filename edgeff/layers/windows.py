"""Host mathematics of windows over images: convolutions by gathered patches and BLAS, depthwise convolutions and pools by shifted views.

Images are (B, H, W, C), ``stride`` (h, w), ``pads`` (top, left, bottom, right), ``kernel`` and ``pool`` (h, w); any float dtype comes in
and the same goes out. A batch is worked off in slices that keep their patches in the cache, on all cores (``edgeff.layers.parallel``):
slices are a matter of sizes alone and sums over them are added in one order, so results do not depend on the count of cores.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeff.layers.parallel import cached, column_sums, each, empty, kept, slices, total, workspace

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Floats = NDArray[Any]
PATCH_BYTES = 1 << 20


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


def _inner(shape: tuple[int, ...], pads: Pads) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where an image batch of ``shape`` lies in itself with padding, and what of it; a negative padding cuts off."""
    (_, height, width, _), (top, left, bottom, right) = shape, pads
    taken = slice(None), slice(max(-top, 0), height + min(bottom, 0)), slice(max(-left, 0), width + min(right, 0))
    down, across = max(top, 0), max(left, 0)
    return (slice(None), slice(down, down + taken[1].stop - taken[1].start), slice(across, across + taken[2].stop - taken[2].start)), taken


def _padded(x: Floats, pads: Pads, value: float = 0.0) -> Floats:
    """x with ``value`` around it, to be used before the next call."""
    if not any(pads):
        return x
    (batch, height, width, channels), (top, left, bottom, right) = x.shape, pads
    shape = (batch, height + top + bottom, width + left + right, channels)
    (place, taken), padded = _inner(x.shape, pads), kept(("padded", shape, pads, x.dtype, value), lambda: np.full(shape, value, x.dtype))
    padded[place] = x[taken]
    return padded


class _Gather:
    """Gathers the windows of image batches of one shape as rows (B * OH * OW, KH * KW * C)."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, kernel: Pair, stride: Pair, pads: Pads) -> None:
        (batch, height, width, channels), (top, left, bottom, right) = shape, pads
        padded = np.zeros((batch, height + top + bottom, width + left + right, channels), dtype)
        place, self.taken = _inner(shape, pads)
        self.inside = padded[place]
        gathered = (batch, *output_size(shape, kernel, stride, pads), kernel[0], kernel[1] * channels)
        image, row, column, item = padded.strides
        self.windows: Floats = np.ndarray(gathered, dtype, padded, 0, (image, row * stride[0], column * stride[1], row, item))
        self.targets = workspace("patches", gathered, dtype)
        self.rows = self.targets.reshape(-1, kernel[0] * kernel[1] * channels)

    def __call__(self, x: Floats) -> Floats:
        """The rows, to be used before the next call."""
        np.copyto(self.inside, x[self.taken])
        np.copyto(self.targets, self.windows)
        return self.rows


def _patches(x: Floats, kernel: Pair, stride: Pair, pads: Pads) -> Floats:
    """The windows of x as rows (B * OH * OW, KH * KW * C), to be used before the next call."""
    if kernel == (1, 1) and not any(pads):
        return np.ascontiguousarray(x[:, :: stride[0], :: stride[1]]).reshape(-1, x.shape[3])
    geometry = (x.shape, x.dtype, kernel, stride, pads)
    return kept(geometry, lambda: _Gather(*geometry))(x)


def _images(shape: tuple[int, ...], kernel: Pair, size: Pair, item_bytes: int) -> list[slice]:
    """The slices of a batch whose patches fit the cache."""
    return slices(shape[0], PATCH_BYTES // max(size[0] * size[1] * kernel[0] * kernel[1] * shape[3] * item_bytes, 1))


def conv2d(x: Floats, weight: Floats, stride: Pair, pads: Pads) -> Floats:
    """x (B, H, W, C) by weight (C_out, KH, KW, C) -> (B, OH, OW, C_out)."""
    kernel = weight.shape[1:3]
    size = output_size(x.shape, kernel, stride, pads)
    matrix = np.ascontiguousarray(weight.reshape(len(weight), -1).T)
    y = empty((len(x), *size, len(weight)), x.dtype)

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
    made = empty(x_shape, delta.dtype)
    outputs, channels = delta.shape[3], x_shape[3]
    phases = _phases(x_shape, delta.shape, weight.shape[1:3], stride, pads)
    matrices = [weight[:, p.taps[0], p.taps[1]].transpose(1, 2, 0, 3).reshape(-1, channels) for p in phases]

    def work(part: slice) -> None:
        for phase, matrix in zip(phases, matrices, strict=True):
            out = made[part][:, phase.places[0], phase.places[1]]
            if 0 in phase.kernel or outputs == 0:
                out[:] = 0
            elif stride == (1, 1):
                np.matmul(_patches(delta[part], phase.kernel, (1, 1), phase.pads), matrix, out=out.reshape(-1, channels))
            else:
                out[:] = (_patches(delta[part], phase.kernel, (1, 1), phase.pads) @ matrix).reshape(out.shape)

    each(work, _images(delta.shape, weight.shape[1:3], delta.shape[1:3], delta.itemsize))
    return made


class _Phase(NamedTuple):
    """The places of x that lie alike in the stride: they get a convolution of stride 1 over delta with some of the taps, mirrored."""

    places: tuple[slice, slice]
    taps: tuple[slice, slice]
    kernel: Pair
    pads: Pads


def _phases(x_shape: tuple[int, ...], delta_shape: tuple[int, ...], kernel: Pair, stride: Pair, pads: Pads) -> list[_Phase]:
    """All phases of the gradient of x, that of place 0 first."""
    axes = [_axis_phases(x_shape[1 + a], delta_shape[1 + a], kernel[a], stride[a], pads[a]) for a in (0, 1)]
    return [_Phase((v[0], h[0]), (v[1], h[1]), (v[2], h[2]), (v[3], h[3], v[4], h[4])) for v in axes[0] for h in axes[1]]


def _axis_phases(length: int, outputs: int, kernel: int, stride: int, before: int) -> list[tuple[slice, slice, int, int, int]]:
    """Along one axis: places, mirrored taps, their count, and the padding of delta before and after.

    Place s q + r meets output o through tap i where s o + i - before = s q + r, so i = (r + before) mod s + s m and o = q + e - m.
    """
    found = []
    for first in range(min(stride, length)):
        tap, shift = (first + before) % stride, (first + before) // stride
        taps = list(range(tap, kernel, stride))
        places = len(range(first, length, stride))
        mirrored = slice(taps[-1], taps[0] - 1 if taps[0] else None, -stride) if taps else slice(0, 0)
        found.append((slice(first, None, stride), mirrored, len(taps), len(taps) - 1 - shift, places + shift - outputs))
    return found


def _taps(x: Floats, kernel: Pair, stride: Pair, pads: Pads, value: float = 0.0) -> list[list[Floats]]:
    """For each place in the window the view (B, OH, OW, C) of what lies there; each of its rows lies in one piece."""
    out_h, out_w = output_size(x.shape, kernel, stride, pads)
    padded = _padded(x, pads, value)
    columns = [padded]
    if stride[1] > 1:
        columns = [np.ascontiguousarray(padded[:, :, first :: stride[1]]) for first in range(min(stride[1], kernel[1]))]
    return [
        [
            columns[j % stride[1]][:, i : i + (out_h - 1) * stride[0] + 1 : stride[0], j // stride[1] : j // stride[1] + out_w]
            for j in range(kernel[1])
        ]
        for i in range(kernel[0])
    ]


def _repeated(x: Floats, multiplier: int) -> Floats:
    return x if multiplier == 1 else np.repeat(x, multiplier, axis=3)


def _widened(weight: Floats, width: int) -> Floats:
    """The taps (KH, KW, C) for a whole row: (KH, KW, width, C)."""
    return np.repeat(weight[:, :, None], width, axis=2)


def _multiply_add(out: Floats, taps: list[list[Floats]], weight: Floats) -> None:
    """out = the sum of the taps times their weights (KH, KW, OW, C)."""
    product = workspace("product", out.shape, out.dtype)
    pairs = [(tap, weight[i, j]) for i, row in enumerate(taps) for j, tap in enumerate(row)]
    np.multiply(*pairs[0], out=out)
    for tap, factor in pairs[1:]:
        np.multiply(tap, factor, out=product)
        out += product


def depthwise_conv2d(x: Floats, weight: Floats, stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """x (B, H, W, C) by weight (KH, KW, C * multiplier) -> (B, OH, OW, C * multiplier)."""
    kernel = weight.shape[:2]
    y = empty((len(x), *output_size(x.shape, kernel, stride, pads), weight.shape[2]), x.dtype)
    wide = _widened(weight, y.shape[2])

    def work(part: slice) -> None:
        _multiply_add(y[part], _taps(_repeated(x[part], multiplier), kernel, stride, pads), wide)

    each(work, cached(x, y))
    return y


def depthwise_weight_gradient(delta: Floats, x: Floats, kernel: Pair, stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """The gradient of the weight (KH, KW, C * multiplier), summed over batch and positions."""

    def work(part: slice) -> Floats:
        taps, product = _taps(_repeated(x[part], multiplier), kernel, stride, pads), workspace("product", delta[part].shape, delta.dtype)
        return np.array([[column_sums(np.multiply(tap, delta[part], out=product)) for tap in row] for row in taps])

    return total(work, cached(x, delta))


def depthwise_input_gradient(delta: Floats, weight: Floats, x_shape: tuple[int, ...], stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """The gradient of x (B, H, W, C) from delta (B, OH, OW, C * multiplier)."""
    made = empty((*x_shape[:3], delta.shape[3]), delta.dtype)
    phases = _phases(x_shape, delta.shape, weight.shape[:2], stride, pads)
    wide = _widened(weight, x_shape[2])

    def work(part: slice) -> None:
        for phase in phases:
            out = made[part][:, phase.places[0], phase.places[1]]
            if 0 in phase.kernel:
                out[:] = 0
            elif stride == (1, 1):
                _multiply_add(out, _taps(delta[part], phase.kernel, (1, 1), phase.pads), wide[phase.taps])
            else:
                whole = workspace("phase", out.shape, out.dtype)
                _multiply_add(whole, _taps(delta[part], phase.kernel, (1, 1), phase.pads), wide[phase.taps][:, :, : out.shape[2]])
                out[:] = whole

    each(work, cached(delta, made))
    return made if multiplier == 1 else made.reshape(*x_shape, multiplier).sum(axis=4)


def _scattered(taps: list[list[Floats]], shape: tuple[int, ...], stride: Pair, pads: Pads) -> Floats:
    """Each tap's values (B, OH, OW, C) added where the tap lies: (B, *shape)."""
    top, left, bottom, right = pads
    batch, out_h, out_w, channels = taps[0][0].shape
    padded = np.zeros((batch, shape[0] + top + bottom, shape[1] + left + right, channels), taps[0][0].dtype)
    for i, row in enumerate(taps):
        for j, values in enumerate(row):
            padded[:, i : i + (out_h - 1) * stride[0] + 1 : stride[0], j : j + (out_w - 1) * stride[1] + 1 : stride[1]] += values
    return padded[:, top : top + shape[0], left : left + shape[1]]


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
