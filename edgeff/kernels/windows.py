"""Windows over images: the common part of the twins of convolutions and pools."""

from __future__ import annotations

import numpy as np

from edgeff.ir import Array
from edgeff.kernels.records import Window

WINDOW_MACS = "out_h * out_w * out_c * k_h * k_w * (in_c // groups)"
"""The products of every window, including those with taps outside the image."""


def all_inside(window: Window) -> bool:
    """Whether every window has a tap inside the image: with more padding than taps some have none."""
    axes = ("h", "w")
    in_, k, stride, pad, out = ([getattr(window, f"{name}_{axis}") for axis in axes] for name in ("in", "k", "stride", "pad", "out"))
    return all(pad[i] < k[i] and (out[i] - 1) * stride[i] - pad[i] < in_[i] for i in range(len(axes)))


def windows(x: Array, window: Window) -> Array:
    """The windows of an image as a view (out_h, out_w, C, k_h, k_w); x (in_h * in_w * C,) flat, zeros outside it."""
    w = window
    image = x.reshape(w.in_h, w.in_w, -1)
    below, right = (w.out_h - 1) * w.stride_h + w.k_h - w.in_h - w.pad_h, (w.out_w - 1) * w.stride_w + w.k_w - w.in_w - w.pad_w
    channels = image.shape[2]
    padded = np.zeros((w.in_h + w.pad_h + max(below, 0), w.in_w + w.pad_w + max(right, 0), channels), x.dtype)
    padded[w.pad_h : w.pad_h + w.in_h, w.pad_w : w.pad_w + w.in_w] = image
    down, across, along = padded.strides
    shape, strides = (w.out_h, w.out_w, channels, w.k_h, w.k_w), (w.stride_h * down, w.stride_w * across, along, down, across)
    view: Array = np.ndarray(shape, x.dtype, padded, 0, strides)
    view.flags.writeable = False  # its elements lie in several windows
    return view


def group_channels(groups: int, in_c: int, out_c: int) -> list[tuple[slice, slice]]:
    """The input and output channels of each group: both are split into ``groups`` runs of equal length."""
    read, written = in_c // groups, out_c // groups
    return [(slice(read * group, read * (group + 1)), slice(written * group, written * (group + 1))) for group in range(groups)]


def taps_inside(position: int, stride: int, pad: int, taps: int, size: int) -> tuple[slice, slice]:
    """The taps of the window at ``position`` that lie inside an image of ``size``, and their places in it."""
    start = position * stride - pad
    first = max(0, -start)
    last = max(min(taps, size - start), first)
    return slice(first, last), slice(start + first, start + last)


def positions_inside(tap: int, stride: int, pad: int, size: int, out: int) -> tuple[slice, slice]:
    """The positions whose tap number ``tap`` lies inside an image of ``size``, and its places there."""
    first, last = -(-max(pad - tap, 0) // stride), min((size - 1 + pad - tap) // stride + 1, out)
    if first >= last:
        return slice(0, 0), slice(0, 0)
    start = first * stride - pad + tap
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)
