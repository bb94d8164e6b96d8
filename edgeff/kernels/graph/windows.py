"""Windows over images as operands: the taps of every window, and values put back where a tap lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.graph.operand import Operand, concat
from edgeff.kernels.records import Window
from edgeff.kernels.windows import positions_inside, windows


def taps(image: Operand, window: Window, outside: float = 0) -> list[Operand]:
    """What each tap (ky, kx) of all windows reads from an image (in_h, in_w, C): (out_h, out_w, C), ``outside`` where there is no image."""
    w = window
    channels = image.size // (w.in_h * w.in_w)
    below, right = (w.out_h - 1) * w.stride_h + w.k_h - w.in_h - w.pad_h, (w.out_w - 1) * w.stride_w + w.k_w - w.in_w - w.pad_w
    padded = image.reshape(w.in_h, w.in_w, channels).pad((w.pad_h, w.pad_w, 0), (max(below, 0), max(right, 0), 0), outside)
    return [
        padded.part(_every(ky, w.stride_h, w.out_h), _every(kx, w.stride_w, w.out_w)).reshape(w.out_h, w.out_w, channels)
        for ky in range(w.k_h)
        for kx in range(w.k_w)
    ]


def _every(first: int, stride: int, count: int) -> slice:
    return slice(first, first + stride * (count - 1) + 1, stride)


def patches(image: Operand, window: Window) -> Operand:
    """The patches of all windows as rows (out_h * out_w, k_h * k_w, C)."""
    every = [tap.reshape(window.out_h * window.out_w, 1, -1) for tap in taps(image, window)]
    return concat(every, axis=1)


def by_group(values: Operand, groups: int) -> Operand:
    """Patches (positions, taps, C) as (groups, positions, taps * C / groups); for one group (positions, taps * C)."""
    positions, count, channels = values.shape
    if groups == 1:
        return values.reshape(positions, count * channels)
    cut = values.reshape(positions, count, groups, channels // groups).transpose(2, 0, 1, 3)
    return cut.reshape(groups, positions, count * (channels // groups))


def outputs_by_group(values: Operand, groups: int) -> Operand:
    """Values (positions, O) as (groups, positions, O / groups); for one group as they are."""
    positions, channels = values.shape
    return values if groups == 1 else values.reshape(positions, groups, channels // groups).transpose(1, 0, 2)


def placed(values: Operand, tap: tuple[int, int], window: Window) -> Operand | None:
    """An image (in_h, in_w, C) with values (out_h, out_w, C) where each window's tap lies, 0 elsewhere; None if it never lies inside."""
    w, channels = window, values.shape[-1]
    down, rows = positions_inside(tap[0], w.stride_h, w.pad_h, w.in_h, w.out_h)
    across, columns = positions_inside(tap[1], w.stride_w, w.pad_w, w.in_w, w.out_w)
    counts = down.stop - down.start, across.stop - across.start
    if not all(counts):
        return None
    there, steps = values.part(down, across), (w.stride_h, w.stride_w)
    if steps != (1, 1):
        spread = there.reshape(counts[0], 1, counts[1], 1, channels).pad((0,) * 5, (0, steps[0] - 1, 0, steps[1] - 1, 0))
        there = spread.reshape(counts[0] * steps[0], counts[1] * steps[1], channels)
    after = w.in_h - rows.start - counts[0] * steps[0], w.in_w - columns.start - counts[1] * steps[1]
    return there.pad((rows.start, columns.start, 0), (*after, 0))


def summed(parts: Sequence[Operand | None]) -> Operand:
    """The sum of images of which at least one is there."""
    present = [part for part in parts if part is not None]
    total = present[0]
    for part in present[1:]:
        total = total + part
    return total


def counts_inside(window: Window) -> Array:
    """The number of taps of each window inside the image, int64 (out_h, out_w, 1)."""
    inside = windows(np.ones(window.in_h * window.in_w, np.int64), window)
    return np.asarray(inside.sum(axis=(3, 4)))
