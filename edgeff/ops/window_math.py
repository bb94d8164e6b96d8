"""Host mathematics of windows over images: convolutions by gathered patches and BLAS, depthwise convolutions by sums over views.

Images are (B, H, W, C), ``stride`` and ``kernel`` (h, w), ``pads`` (top, left, bottom, right); any float dtype comes in and the same goes
out. A batch is worked off in slices that keep their patches in the cache, on all cores (``edgeff.ops.parallel``): slices depend only on
sizes and sums over them are added in one order, so results do not depend on the number of cores.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeff.ops.parallel import cached, each, empty, kept, slices, total, workspace

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Floats = NDArray[Any]
PATCH_BYTES = 1 << 21


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
    """The region of the padded batch that a batch of ``shape`` fills, and the part of the batch that goes there; negative padding crops."""
    (_, height, width, _), (top, left, bottom, right) = shape, pads
    taken = slice(None), slice(max(-top, 0), height + min(bottom, 0)), slice(max(-left, 0), width + min(right, 0))
    down, across = max(top, 0), max(left, 0)
    return (slice(None), slice(down, down + taken[1].stop - taken[1].start), slice(across, across + taken[2].stop - taken[2].start)), taken


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
        """The rows, valid until the next call."""
        np.copyto(self.inside, x[self.taken])
        np.copyto(self.targets, self.windows)
        return self.rows


def _patches(x: Floats, kernel: Pair, stride: Pair, pads: Pads) -> Floats:
    """The windows of x as rows (B * OH * OW, KH * KW * C), valid until the next call."""
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

    gradient = total(work, _images(x.shape, kernel, delta.shape[1:3], x.itemsize))
    return gradient.reshape(outputs, *kernel, x.shape[3])


def conv2d_input_gradient(delta: Floats, weight: Floats, x_shape: tuple[int, ...], stride: Pair, pads: Pads) -> Floats:
    """The gradient of x (B, H, W, C) from delta (B, OH, OW, C_out)."""
    gradient = empty(x_shape, delta.dtype)
    outputs, channels = delta.shape[3], x_shape[3]
    phases = _phases(x_shape, delta.shape, weight.shape[1:3], stride, pads)
    matrices = [weight[:, p.taps[0], p.taps[1]].transpose(1, 2, 0, 3).reshape(-1, channels) for p in phases]

    def work(part: slice) -> None:
        for phase, matrix in zip(phases, matrices, strict=True):
            out = gradient[part][:, phase.places[0], phase.places[1]]
            if 0 in phase.kernel or outputs == 0:
                out[:] = 0
            elif stride == (1, 1):
                np.matmul(_patches(delta[part], phase.kernel, (1, 1), phase.pads), matrix, out=out.reshape(-1, channels))
            else:
                out[:] = (_patches(delta[part], phase.kernel, (1, 1), phase.pads) @ matrix).reshape(out.shape)

    each(work, _images(delta.shape, weight.shape[1:3], delta.shape[1:3], delta.itemsize))
    return gradient


class _Phase(NamedTuple):
    """The places of x with the same offset in the stride: a convolution of stride 1 over delta with some of the taps, mirrored."""

    places: tuple[slice, slice]
    taps: tuple[slice, slice]
    kernel: Pair
    pads: Pads


def _phases(x_shape: tuple[int, ...], delta_shape: tuple[int, ...], kernel: Pair, stride: Pair, pads: Pads) -> list[_Phase]:
    """All phases of the gradient of x, starting with that of place 0."""
    axes = [_axis_phases(x_shape[1 + a], delta_shape[1 + a], kernel[a], stride[a], pads[a]) for a in (0, 1)]
    return [_Phase((v[0], h[0]), (v[1], h[1]), (v[2], h[2]), (v[3], h[3], v[4], h[4])) for v in axes[0] for h in axes[1]]


def _axis_phases(length: int, outputs: int, kernel: int, stride: int, before: int) -> list[tuple[slice, slice, int, int, int]]:
    """Along one axis: places, mirrored taps, their count, and the padding of delta before and after.

    Place s q + r meets output o through tap i where s o + i - before = s q + r, so i = (r + before) mod s + s m and o = q + e - m.
    """
    phases = []
    for first in range(min(stride, length)):
        tap, shift = (first + before) % stride, (first + before) // stride
        taps = list(range(tap, kernel, stride))
        places = len(range(first, length, stride))
        mirrored = slice(taps[-1], taps[0] - 1 if taps[0] else None, -stride) if taps else slice(0, 0)
        phases.append((slice(first, None, stride), mirrored, len(taps), len(taps) - 1 - shift, places + shift - outputs))
    return phases


class Windows:
    """Shows the windows of image batches of one shape without gathering them, for sums over taps that keep channels separate.

    ``views`` has one array (B, OH, KH, KW / s, OW * C) for each phase of the horizontal stride s: whole rows are contiguous.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, kernel: Pair, stride: Pair, pads: Pads, value: float = 0.0) -> None:
        (batch, height, width, channels), (top, left, bottom, right) = shape, pads
        out_h, out_w = output_size(shape, kernel, stride, pads)
        padded = np.full((batch, height + top + bottom, width + left + right, channels), value, dtype)
        place, self.taken = _inner(shape, pads)
        self.inside = padded[place]
        phases = [padded[:, :, first :: stride[1]] for first in range(min(stride[1], kernel[1]))]
        columns = [padded] if stride[1] == 1 else [np.ascontiguousarray(phase) for phase in phases]
        self.moves = [] if stride[1] == 1 else list(zip(columns, phases, strict=True))
        self.views: list[Floats] = []
        for first, column in enumerate(columns):
            seen = (batch, out_h, kernel[0], len(range(first, kernel[1], stride[1])), out_w * channels)
            image, row, pixel, item = column.strides
            self.views.append(np.ndarray(seen, dtype, column, 0, (image, row * stride[0], row, pixel, item)))

    def __call__(self, x: Floats) -> list[Floats]:
        """The views, valid until the next call."""
        np.copyto(self.inside, x[self.taken])
        for column, phase in self.moves:
            np.copyto(column, phase)
        return self.views


def windows_of(x: Floats, kernel: Pair, stride: Pair, pads: Pads, value: float = 0.0) -> list[Floats]:
    """The views of ``Windows`` of x, with ``value`` around it, valid until the next call."""
    geometry = (x.shape, x.dtype, kernel, stride, pads, value)
    return kept(("windows", *geometry), lambda: Windows(*geometry))(x)


def _repeated(x: Floats, multiplier: int) -> Floats:
    return x if multiplier == 1 else np.repeat(x, multiplier, axis=3)


def _widened(weight: Floats, width: int, stride: int) -> list[Floats]:
    """The taps (KH, KW, C) for whole rows: (KH, KW / s, width * C) for each phase of the horizontal stride s."""
    wide = np.tile(weight, (1, 1, width))
    return [np.ascontiguousarray(wide[:, first::stride]) for first in range(min(stride, weight.shape[1]))]


def _weighted(out: Floats, views: list[Floats], weights: list[Floats]) -> None:
    """out (B, OH, OW, C) = the sum of all taps times their weights."""
    rows = out.reshape(*out.shape[:2], -1)
    np.einsum("nhijc,ijc->nhc", views[0], weights[0], out=rows)
    for view, weight in zip(views[1:], weights[1:], strict=True):
        rows += np.einsum("nhijc,ijc->nhc", view, weight, out=workspace("phase", rows.shape, rows.dtype))


def depthwise_conv2d(x: Floats, weight: Floats, stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """x (B, H, W, C) by weight (KH, KW, C * multiplier) -> (B, OH, OW, C * multiplier)."""
    kernel = weight.shape[:2]
    y = empty((len(x), *output_size(x.shape, kernel, stride, pads), weight.shape[2]), x.dtype)
    wide = _widened(weight, y.shape[2], stride[1])

    def work(part: slice) -> None:
        _weighted(y[part], windows_of(_repeated(x[part], multiplier), kernel, stride, pads), wide)

    each(work, cached(x, y))
    return y


def depthwise_weight_gradient(delta: Floats, x: Floats, kernel: Pair, stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """The gradient of the weight (KH, KW, C * multiplier), summed over batch and positions."""
    width, outputs = delta.shape[2:]

    def work(part: slice) -> Floats:
        views, rows = (
            windows_of(_repeated(x[part], multiplier), kernel, stride, pads),
            delta[part].reshape(-1, delta.shape[1], width * outputs),
        )
        sums = np.empty((*kernel, width * outputs), delta.dtype)
        for first, view in enumerate(views):
            sums[:, first :: stride[1]] = np.einsum("nhijc,nhc->ijc", view, rows)
        return sums

    return total(work, cached(x, delta)).reshape(*kernel, width, outputs).sum(axis=2)


def depthwise_input_gradient(delta: Floats, weight: Floats, x_shape: tuple[int, ...], stride: Pair, pads: Pads, multiplier: int) -> Floats:
    """The gradient of x (B, H, W, C) from delta (B, OH, OW, C * multiplier)."""
    gradient = empty((*x_shape[:3], delta.shape[3]), delta.dtype)
    phases = _phases(x_shape, delta.shape, weight.shape[:2], stride, pads)
    widths = [len(range(*phase.places[1].indices(x_shape[2]))) for phase in phases]
    wide = [_widened(weight[phase.taps], width, 1) for phase, width in zip(phases, widths, strict=True)]

    def work(part: slice) -> None:
        for phase, weights in zip(phases, wide, strict=True):
            out = gradient[part][:, phase.places[0], phase.places[1]]
            if 0 in phase.kernel:
                out[:] = 0
                continue
            whole = out if stride == (1, 1) else workspace("whole", out.shape, out.dtype)
            _weighted(whole, windows_of(delta[part], phase.kernel, (1, 1), phase.pads), weights)
            if whole is not out:
                out[:] = whole

    each(work, cached(delta, gradient))
    return gradient if multiplier == 1 else gradient.reshape(*x_shape, multiplier).sum(axis=4)
