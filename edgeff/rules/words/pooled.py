"""Learning below a pooled linear head without a gradient map: the head's gradient is constant over each window of its average pool.

The block's output y (out_h, out_w, out_c) is averaged over windows that do not overlap, of pool_h x pool_w, of which the last may stick
out; a linear head reads the averages. g (windows down, windows across, out_c) holds each window's share, d loss / d y of each of its
positions. So delta at a position is g of its window, or 0 where ReLU cut y off, and need not be stored. Inside a block of two convolutions
the delta between them is made for one channel at a time; that channel of the first layer's output is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Count, Flag, Record, Size, Window
from edgeff.kernels.tensors import ImageF32, Rate
from edgeff.kernels.windows import WINDOW_MACS
from edgeff.ops.conv2d.kernel import (
    eff_conv2d_f32,
    eff_conv2d_input_gradient_f32,
    eff_conv2d_update_f32,
    eff_conv_bias_update_f32,
)
from edgeff.ops.depthwise_conv2d.kernel import (
    eff_depthwise_conv2d_f32,
    eff_depthwise_conv2d_input_gradient_f32,
    eff_depthwise_conv2d_update_f32,
)


@dataclass(frozen=True, slots=True)
class PoolGrid(Record):
    """Windows of pool_h x pool_w without overlap. ``gated``: the positions whose y is not above 0 have no delta."""

    pool_h: Size
    pool_w: Size
    gated: Flag


@dataclass(frozen=True, slots=True)
class Pair(Record):
    """Two convolutions: over [in_h][in_w][in_c] to [mid_h][mid_w][mid_c], then to [out_h][out_w][out_c] by the fields called ``then``.

    ``depthwise``: the first convolves each channel separately, one output per channel (mid_c == in_c).
    """

    in_h: Size
    in_w: Size
    in_c: Size
    k_h: Size
    k_w: Size
    stride_h: Size
    stride_w: Size
    pad_h: Count
    pad_w: Count
    mid_h: Size
    mid_w: Size
    mid_c: Size
    then_k_h: Size
    then_k_w: Size
    then_stride_h: Size
    then_stride_w: Size
    then_pad_h: Count
    then_pad_w: Count
    out_h: Size
    out_w: Size
    out_c: Size
    depthwise: Flag

    @property
    def first(self) -> Window:
        """The windows of the first convolution."""
        return Window(
            *(self.in_h, self.in_w, self.in_c, self.mid_h, self.mid_w, self.mid_c, self.k_h, self.k_w),
            *(self.stride_h, self.stride_w, self.pad_h, self.pad_w, self.in_c if self.depthwise else 1),
        )

    @property
    def second(self) -> Window:
        """The windows of the second."""
        return Window(
            *(self.mid_h, self.mid_w, self.mid_c, self.out_h, self.out_w, self.out_c, self.then_k_h, self.then_k_w),
            *(self.then_stride_h, self.then_stride_w, self.then_pad_h, self.then_pad_w),
        )


SharesF32 = Annotated[Array, In("float", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c")]
OutputF32 = Annotated[Array, In("float", "out_h", "out_w", "out_c")]
PAIR_MACS = "2 * (mid_h * mid_w * mid_c * k_h * k_w * (1 if depthwise else in_c) + out_h * out_w * out_c * then_k_h * then_k_w * mid_c)"
"""The first layer again and its update; the gradient through the second layer and its update."""
BACKWARD_MACS = f"mid_h * mid_w * mid_c * k_h * k_w + {PAIR_MACS}"
"""The gradient through the first layer too."""


def window_counts(out_h: int, out_w: int, grid: PoolGrid) -> Array:
    """The positions of each window (windows down, windows across), int64.

    >>> window_counts(5, 2, PoolGrid(3, 3, 1)).tolist()
    [[6], [4]]
    """
    down, across = (
        np.minimum(pool, size - pool * np.arange(-(-size // pool))) for size, pool in ((out_h, grid.pool_h), (out_w, grid.pool_w))
    )
    return np.outer(down, across)


def spread(g: Array, y: Array, shape: tuple[int, int, int], grid: PoolGrid, zero: int = 0) -> Array:
    """Delta (out_h, out_w, out_c) from the shares g and the output y, of any dtype; gated: 0 where y is not above ``zero``."""
    out_h, out_w, out_c = shape
    across = -(-out_w // grid.pool_w)
    windows = g.reshape(-1, across, out_c)[np.arange(out_h) // grid.pool_h][:, np.arange(out_w) // grid.pool_w]
    return np.where(y.reshape(shape) > zero, windows, g.dtype.type(0)) if grid.gated else windows


def _delta(g: Array, y: Array, window: Window, grid: PoolGrid) -> Array:
    return spread(g, y, (window.out_h, window.out_w, window.out_c), grid).reshape(-1)


@kernel()
def eff_pool_shares_f32(
    g: Annotated[Array, Out("float", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c", also_read=True)],
    out_h: Size,
    out_w: Size,
    out_c: Size,
    grid: PoolGrid,
) -> None:
    """g /= the positions of its window: from d loss / d average to d loss / d each of the averaged."""
    counts = window_counts(out_h, out_w, grid)
    g[:] = (g.reshape(*counts.shape, out_c) / counts.astype(np.float32)[:, :, None]).reshape(-1)


@kernel(macs=WINDOW_MACS)
def eff_pooled_update_f32(
    w: Annotated[Array, Out("float", "out_c", "k_h", "k_w", "in_c", also_read=True)],
    y: OutputF32,
    g: SharesF32,
    a: ImageF32,
    rate: Rate,
    window: Window,
    grid: PoolGrid,
    lr: float,
) -> None:
    """The weight of a convolution with output y and input a: as ``eff_conv2d_update_f32`` from the delta that g and y say; one group."""
    eff_conv2d_update_f32(w, _delta(g, y, window, grid), a, rate, window, lr)


@kernel()
def eff_pooled_bias_update_f32(
    b: Annotated[Array, Out("float", "out_c", also_read=True)],
    y: OutputF32,
    g: SharesF32,
    rate: Rate,
    out_h: Size,
    out_w: Size,
    out_c: Size,
    grid: PoolGrid,
    lr: float,
) -> None:
    """b -= (rate / 2**16) lr sum of the delta that g and y say, in the order of (oy, ox) from 0."""
    delta = spread(g, y, (out_h, out_w, out_c), grid).reshape(-1)
    eff_conv_bias_update_f32(b, delta, rate, out_h * out_w, out_c, lr)


@kernel(macs=PAIR_MACS)
def eff_pooled_pair_update_f32(
    w: Annotated[Array, Out("float", "k_h * k_w * mid_c * (1 if depthwise else in_c)", also_read=True)],
    b: Annotated[Array, Out("float", "mid_c", also_read=True)],
    v: Annotated[Array, Out("float", "out_c", "then_k_h", "then_k_w", "mid_c", also_read=True)],
    columns: Annotated[Array, Out("float", "2", "mid_h", "mid_w")],
    y: OutputF32,
    g: SharesF32,
    a: ImageF32,
    rate: Rate,
    pair: Pair,
    grid: PoolGrid,
    relu: Flag,
    lr: float,
) -> None:
    """Weight and bias w, b of a first convolution over a, weight v of a second one with output y: back-propagation inside the two.

    For each channel between them: its activations (after ReLU, if the first layer ends in ``relu``) and its delta, both in ``columns``,
    then the updates that read them. Sums are in the order of the kernels that take whole maps.
    """
    h, e = _maps(w, b, v, y, g, a, pair, grid, relu)
    eff_conv2d_update_f32(v, _delta(g, y, pair.second, grid), h, rate, pair.second, lr)
    (eff_depthwise_conv2d_update_f32 if pair.depthwise else eff_conv2d_update_f32)(w, e, a, rate, pair.first, lr)
    eff_conv_bias_update_f32(b, e, rate, pair.mid_h * pair.mid_w, pair.mid_c, lr)
    columns[:] = np.concatenate([each.reshape(-1, pair.mid_c)[:, -1] for each in (h, e)])


@kernel(macs=BACKWARD_MACS)
def eff_pooled_pair_backward_f32(
    w: Annotated[Array, Out("float", "k_h", "k_w", "mid_c", also_read=True)],
    b: Annotated[Array, Out("float", "mid_c", also_read=True)],
    v: Annotated[Array, Out("float", "out_c", "then_k_h", "then_k_w", "mid_c", also_read=True)],
    columns: Annotated[Array, Out("float", "max(mid_h * mid_w, in_h * in_w) + mid_h * mid_w")],
    a: Annotated[Array, Out("float", "in_h", "in_w", "in_c", also_read=True)],
    y: OutputF32,
    g: SharesF32,
    rate: Rate,
    pair: Pair,
    grid: PoolGrid,
    relu: Flag,
    through: Flag,
    lr: float,
) -> None:
    """The same for a depthwise first convolution, and a becomes d loss / d a, channel by channel; 0 where a is not above 0 if ``through``.

    At the end ``columns`` holds the last channel's d loss / d a before that gate, and then its delta.
    """
    h, e = _maps(w, b, v, y, g, a, pair, grid, relu)
    below, before = np.empty(a.size, np.float32), w.copy()
    eff_depthwise_conv2d_input_gradient_f32(below, e, before, pair.first)
    eff_pooled_pair_update_f32(w, b, v, np.empty(2 * pair.mid_h * pair.mid_w, np.float32), y, g, a, rate, pair, grid, relu, lr)
    last, most = below.reshape(-1, pair.in_c)[:, -1], max(pair.mid_h * pair.mid_w, pair.in_h * pair.in_w)
    columns[: pair.mid_h * pair.mid_w] = h.reshape(-1, pair.mid_c)[:, -1]
    columns[: len(last)] = last
    columns[most:] = e.reshape(-1, pair.mid_c)[:, -1]
    a[:] = np.where(a > 0, below, np.float32(0)) if through else below


def _maps(w: Array, b: Array, v: Array, y: Array, g: Array, a: Array, pair: Pair, grid: PoolGrid, relu: int) -> tuple[Array, Array]:
    """The activations between the two convolutions and their gated delta."""
    size = pair.mid_h * pair.mid_w * pair.mid_c
    h, e = np.empty(size, np.float32), np.empty(size, np.float32)
    (eff_depthwise_conv2d_f32 if pair.depthwise else eff_conv2d_f32)(h, a, w, b, pair.first, relu)
    eff_conv2d_input_gradient_f32(e, _delta(g, y, pair.second, grid), v, pair.second)
    return h, np.where(h > 0, e, np.float32(0)) if relu else e
