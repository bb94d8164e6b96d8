"""Learning below a pooled linear head as operators of a graph: the delta is spread over the map, which a graph can afford."""

from __future__ import annotations

import numpy as np

from edgeff.kernels.graph.arithmetic import rate_of
from edgeff.kernels.graph.operand import Operand, concat
from edgeff.kernels.records import Window
from edgeff.ops.conv2d.kernel_graph import (
    eff_conv2d_f32,
    eff_conv2d_input_gradient_f32,
    eff_conv2d_update_f32,
    eff_conv_bias_update_f32,
)
from edgeff.ops.depthwise_conv2d.kernel_graph import (
    eff_depthwise_conv2d_f32,
    eff_depthwise_conv2d_input_gradient_f32,
    eff_depthwise_conv2d_update_f32,
)
from edgeff.rules.words.pooled import Pair, PoolGrid, window_counts


def spread(g: Operand, y: Operand, shape: tuple[int, int, int], grid: PoolGrid, zero: int = 0) -> Operand:
    """Delta (out_h, out_w, out_c) from the shares g and the output y."""
    out_h, out_w, out_c = shape
    down, across = np.arange(out_h) // grid.pool_h, np.arange(out_w) // grid.pool_w
    places = (down[:, None] * -(-out_w // grid.pool_w) + across)[:, :, None] * out_c + np.arange(out_c)
    delta = g.take(g.nodes.constant(places))
    return delta.where(y.reshape(*shape) > zero, 0) if grid.gated else delta


def _delta(g: Operand, y: Operand, window: Window, grid: PoolGrid) -> Operand:
    return spread(g, y, (window.out_h, window.out_w, window.out_c), grid)


def eff_pool_shares_f32(g: Operand, out_h: int, out_w: int, out_c: int, grid: PoolGrid) -> Operand:
    """g / the positions of its window."""
    return g / np.repeat(window_counts(out_h, out_w, grid).reshape(-1), out_c).astype(np.float32)


def eff_pooled_update_f32(
    w: Operand, y: Operand, g: Operand, a: Operand, rate: Operand, window: Window, grid: PoolGrid, lr: float
) -> Operand:
    """As the update from a delta of the map's size."""
    return eff_conv2d_update_f32(w, _delta(g, y, window, grid), a, rate, window, lr)


def eff_pooled_bias_update_f32(
    b: Operand, y: Operand, g: Operand, rate: Operand, out_h: int, out_w: int, out_c: int, grid: PoolGrid, lr: float
) -> Operand:
    """b -= rate sum of delta."""
    return eff_conv_bias_update_f32(b, spread(g, y, (out_h, out_w, out_c), grid), rate, out_h * out_w, out_c, lr)


def eff_pooled_pair_update_f32(
    w: Operand,
    b: Operand,
    v: Operand,
    y: Operand,
    g: Operand,
    a: Operand,
    rate: Operand,
    pair: Pair,
    grid: PoolGrid,
    relu: int,
    lr: float,
) -> tuple[Operand, Operand, Operand, Operand]:
    """Back-propagation through the two convolutions, and the last channel's activations and delta."""
    learned, h, e = _learned(w, b, v, y, g, a, rate, pair, grid, relu, lr)
    return *learned, concat([_last(h, pair), _last(e, pair)])


def eff_pooled_pair_backward_f32(
    w: Operand,
    b: Operand,
    v: Operand,
    a: Operand,
    y: Operand,
    g: Operand,
    rate: Operand,
    pair: Pair,
    grid: PoolGrid,
    relu: int,
    through: int,
    lr: float,
) -> tuple[Operand, Operand, Operand, Operand, Operand]:
    """The same, and d loss / d a."""
    learned, h, e = _learned(w, b, v, y, g, a, rate, pair, grid, relu, lr)
    below = eff_depthwise_conv2d_input_gradient_f32(e, w, pair.first)
    last = below.reshape(-1, pair.in_c).part(slice(None), slice(pair.in_c - 1, pair.in_c)).reshape(-1)
    rest = [_last(h, pair).part(slice(last.size, None))] if last.size < pair.mid_h * pair.mid_w else []
    columns = concat([last, *rest, _last(e, pair)])
    return *learned, columns, below.flat().where(a > 0, 0) if through else below


def _last(values: Operand, pair: Pair) -> Operand:
    """The last channel of a map between the two."""
    return values.part(slice(None), slice(pair.mid_c - 1, pair.mid_c)).reshape(-1)


def _learned(
    w: Operand, b: Operand, v: Operand, y: Operand, g: Operand, a: Operand, rate: Operand, pair: Pair, grid: PoolGrid, relu: int, lr: float
) -> tuple[tuple[Operand, Operand, Operand], Operand, Operand]:
    """The new w, b and v, and the activations between the two convolutions and their delta (positions, mid_c)."""
    first, second = pair.first, pair.second
    delta = _delta(g, y, second, grid)
    h = (eff_depthwise_conv2d_f32 if pair.depthwise else eff_conv2d_f32)(a, w, b, first, relu).reshape(-1, pair.mid_c)
    e = eff_conv2d_input_gradient_f32(delta, v, second).reshape(-1, pair.mid_c)
    e = e.where(h > 0, 0) if relu else e
    update = eff_depthwise_conv2d_update_f32 if pair.depthwise else eff_conv2d_update_f32
    learned = update(w, e, a, rate, first, lr), b - rate_of(rate, lr) * e.sum(0), eff_conv2d_update_f32(v, delta, h, rate, second, lr)
    return learned, h, e
