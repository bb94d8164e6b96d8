"""Windows over images: what the twins of convolutions and pools share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeff.ir import Array


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


def taps_inside(position: int, stride: int, pad: int, taps: int, size: int) -> tuple[slice, slice]:
    """The taps of the window at ``position`` that lie inside an image of ``size``, and where they lie in it."""
    start = position * stride - pad
    first = max(0, -start)
    last = max(min(taps, size - start), first)
    return slice(first, last), slice(start + first, start + last)


def positions_inside(tap: int, stride: int, pad: int, size: int, out: int) -> tuple[slice, slice]:
    """The positions whose tap number ``tap`` lies inside an image of ``size``, and where it lies there."""
    first, last = -(-max(pad - tap, 0) // stride), min((size - 1 + pad - tap) // stride + 1, out)
    if first >= last:
        return slice(0, 0), slice(0, 0)
    start = first * stride - pad + tap
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)
