"""An image in another size, bilinear: float32, and int8 with positions in steps of 1/1024."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Flag, Range, Record, Size

F = np.float32
ONE = 1 << 10
Pixels = Annotated[int, Range(1, 1 << 15)]


@dataclass(frozen=True, slots=True)
class Resized(Record):
    """An image [in_h][in_w][channels] becomes [out_h][out_w][channels], and where its pixels lie (``ResizeBilinear``)."""

    in_h: Pixels
    in_w: Pixels
    channels: Size
    out_h: Pixels
    out_w: Pixels
    half_pixel: Flag
    align_corners: Flag


def _real(size: int, made: int, how: Resized) -> tuple[Array, Array, Array]:
    """The pixel before and after each of ``made``, and the share of the second, float32."""
    corners = how.align_corners and made > 1
    step = F(size - 1) / F(made - 1) if corners else F(size) / F(made)
    at = np.arange(made).astype(F)
    at = (at + F(0.5)) * step - F(0.5) if how.half_pixel else at * step
    low = np.maximum(np.floor(at).astype(np.int64), 0)
    high = np.minimum(np.ceil(at).astype(np.int64), size - 1)
    low = np.minimum(low, size - 1)
    return low, high, at - low.astype(F)


@kernel()
def eff_resize_bilinear_f32(
    y: Annotated[Array, Out("float", "out_h", "out_w", "channels")],
    x: Annotated[Array, In("float", "in_h", "in_w", "channels")],
    how: Resized,
) -> None:
    """y between the four nearest pixels of x: the two above, then the two below, from left to right within either."""
    image = x.reshape(how.in_h, how.in_w, how.channels)
    (top, bottom, down), (left, right, across) = _real(how.in_h, how.out_h, how), _real(how.in_w, how.out_w, how)
    d, a = down[:, None, None], across[None, :, None]
    part = image[top][:, left] * (F(1.0) - d) * (F(1.0) - a) + image[bottom][:, left] * d * (F(1.0) - a)
    part = part + image[top][:, right] * (F(1.0) - d) * a
    y[:] = (part + image[bottom][:, right] * d * a).reshape(-1)


def _whole(size: int, made: int, how: Resized) -> tuple[Array, Array, Array]:
    """As ``_real`` in steps of 1/1024."""
    step = (ONE * size + made // 2) // made
    if how.align_corners and made > 1:
        step = (ONE * (size - 1) + (made - 1) // 2) // (made - 1)
    at = np.arange(made, dtype=np.int64) * step
    at = at + step // 2 - ONE // 2 if how.half_pixel else at
    low = np.minimum(np.maximum(np.where(at < 0, 0, at // ONE), 0), size - 1)
    high = np.minimum(np.maximum((at + ONE - 1) // ONE, 0), size - 1)
    return low, high, at - low * ONE


@kernel()
def eff_resize_bilinear_i8(
    y: Annotated[Array, Out("int8_t", "out_h", "out_w", "channels")],
    x: Annotated[Array, In("int8_t", "in_h", "in_w", "channels")],
    how: Resized,
) -> None:
    """The same in integers: positions in steps of 1/1024, rounded to nearest, ties away from zero."""
    image = x.reshape(how.in_h, how.in_w, how.channels).astype(np.int64)
    (top, bottom, down), (left, right, across) = _whole(how.in_h, how.out_h, how), _whole(how.in_w, how.out_w, how)
    d, a = down[:, None, None], across[None, :, None]
    above = image[top][:, left] * (ONE - a) + image[top][:, right] * a
    below = image[bottom][:, left] * (ONE - a) + image[bottom][:, right] * a
    sums = above * (ONE - d) + below * d
    y[:] = np.clip(np.sign(sums) * ((np.abs(sums) + (1 << 19)) >> 20), -128, 127).reshape(-1)
