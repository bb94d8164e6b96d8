"""Learning below a pooled linear head in int8 as operators of a graph, in int64: the delta is spread over the map, which it can afford."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgeff.kernels.graph.arithmetic import gain_of, requantise, rounding_of, saturate16, saturate32, shift_round_up
from edgeff.kernels.graph.operand import Operand, concat
from edgeff.kernels.graph.windows import patches, placed, summed
from edgeff.kernels.records import Matrix, Requant, Step, Window
from edgeff.kernels.updates import BIAS_LIMIT, FRACTION_I8, GAIN_I8
from edgeff.ops.add.kernel_graph import eff_add_i16
from edgeff.rules.words.graph.pooled import spread
from edgeff.rules.words.pooled import Pair, PoolGrid, window_counts
from edgeff.rules.words.pooled_i8 import LOW_BITS, PairSteps, Separable, Skip, Stage, Stem, StemSteps, rows_read

Two = tuple[Operand, Operand]


def _opened(d: Operand, h: Operand, zero: int) -> Operand:
    """d where the output h of ReLU is above zero and not saturated, else 0."""
    return d.where(h > zero, 0).where(h < 127, 0)


def _fine(w: Operand, low: Operand, change: Operand) -> Two:
    """The weights and their lower parts less ``change`` in steps of 2**-8."""
    master = (w * 256 + low - change).clip(-127 * 256 - 128, 127 * 256 + 127)
    whole = (master + 128) >> 8
    return whole, master - whole * 256


def _change(w: Operand, low: Operand, sums: Operand, rate: Operand, step: Operand, how: Step, fine: int) -> Two:
    """w and its lower part after the step from the sums in the order of w."""
    gain = gain_of(saturate32(sums), how.multiplier, how.shift, rate, BIAS_LIMIT)
    fraction = FRACTION_I8 - (LOW_BITS if fine else 0)
    change = (gain + rounding_of(1, w.size, step, fraction, how).flat()) >> fraction
    return _fine(w, low, change) if fine else ((w - change).clip(-127, 127), low)


def _turned(values: Operand) -> Operand:
    return values.transpose(1, 0)


def _filter_sums(delta: Operand, x: Operand, window: Window, *, depthwise: bool = False) -> Operand:
    deltas, rows = delta.reshape(-1, window.out_c), patches(x, window)
    if depthwise:
        return (rows * deltas.reshape(-1, 1, window.out_c)).sum(0).flat()
    return (_turned(deltas) @ rows.reshape(rows.shape[0], -1)).flat()


def _input_sums(delta: Operand, w: Operand, window: Window, *, depthwise: bool = False) -> Operand:
    count = window.k_h * window.k_w
    deltas = delta.reshape(-1, window.out_c)
    if depthwise:
        by_tap = deltas.reshape(1, -1, window.in_c) * w.reshape(count, 1, window.in_c)
    else:
        by_tap = (deltas @ w.reshape(window.out_c, -1)).reshape(-1, count, window.in_c).transpose(1, 0, 2)
    images = by_tap.reshape(count, window.out_h, window.out_w, window.in_c)
    shares = [images.part(slice(tap, tap + 1)).reshape(*images.shape[1:]) for tap in range(count)]
    return summed([placed(share, divmod(tap, window.k_w), window) for tap, share in enumerate(shares)])


def _bias(b: Operand, sums: Operand, rate: Operand, how: Requant) -> Operand:
    return (b - gain_of(sums, how.multiplier, how.shift, rate, BIAS_LIMIT)).clip(-BIAS_LIMIT, BIAS_LIMIT)


def _delta(g: Operand, mask: Operand, shape: tuple[int, int, int], grid: PoolGrid) -> Operand:
    size = int(np.prod(shape))
    powers = mask.nodes.constant((np.int64(1) << np.arange(8, dtype=np.int64)).reshape(1, 8))
    unsigned = mask.where(mask >= 0, mask + 256).reshape(-1, 1)
    bits = ((unsigned // powers) % 2).flat().part(slice(0, size))
    return spread(g, bits, shape, grid)


def eff_mask_i8(y: Operand, n: int, zero: int) -> Operand:
    """A bit for each y that ReLU lets a gradient through."""
    bits = _opened((y > zero).cast("int64"), y, zero).pad((0,), (-n % 8,)).reshape(-1, 8)
    byte = (bits * bits.nodes.constant((np.int64(1) << np.arange(8, dtype=np.int64)).reshape(1, 8))).sum(1)
    return byte.where(byte < 128, byte - 256)


def eff_pool_shares_i16(g: Operand, out_h: int, out_w: int, out_c: int, taps: int, grid: PoolGrid) -> Operand:
    """g taps / the positions of its window, rounded half away from zero."""
    counts = np.repeat(window_counts(out_h, out_w, grid).reshape(-1), out_c)
    wide = g * taps
    share = (wide.abs() + counts // 2) // counts
    return saturate16((-share).where(wide < 0, share))


def eff_pooled_update_i8(
    w: Operand,
    low: Operand,
    mask: Operand,
    g: Operand,
    a: Operand,
    rate: Operand,
    step: Operand,
    window: Window,
    grid: PoolGrid,
    how: Step,
    fine: int,
) -> Two:
    """The exact sums in int64."""
    delta = _delta(g, mask, (window.out_h, window.out_w, window.out_c), grid)
    return _change(w, low, _filter_sums(delta, a - how.a_zero, window), rate, step, how, fine)


def eff_pooled_bias_update_i32(
    b: Operand, mask: Operand, g: Operand, rate: Operand, out_h: int, out_w: int, out_c: int, grid: PoolGrid, requant: Requant
) -> Operand:
    """b -= gain of the sum of delta, saturated."""
    return _bias(b, _delta(g, mask, (out_h, out_w, out_c), grid).reshape(-1, out_c).sum(0), rate, requant)


def _forward(a: Operand, w: Operand, b: Operand, window: Window, stage: Stage, *, depthwise: bool) -> Operand:
    """The output of a convolution (positions, out_c) over a without its zero point."""
    rows = patches(a, window)
    if depthwise:
        sums = (rows * w.reshape(1, -1, window.out_c)).sum(1)
    else:
        sums = rows.reshape(rows.shape[0], -1) @ _turned(w.reshape(window.out_c, -1))
    scaled = requantise(sums + b, stage.multiplier, stage.shift).clip(-1024, 1024)
    return (scaled + stage.y_zero).clip(stage.y_min, stage.y_max)


def _maps(
    w: Operand, b: Operand, v: Operand, mask: Operand, g: Operand, a: Operand, pair: Pair, how: PairSteps
) -> tuple[Operand, Operand, Operand]:
    """Between the two convolutions the activations and the delta (positions, mid_c); and the delta of the output."""
    h, hidden = _forward(a - how.w_how.a_zero, w, b, pair.first, how.stage, depthwise=bool(pair.depthwise)), how.hidden
    delta = _delta(g, mask, (pair.out_h, pair.out_w, pair.out_c), how.grid)
    sums = shift_round_up(_input_sums(delta, v, pair.second), hidden.pre_shift)
    e = saturate16(requantise(sums, hidden.e_multiplier, hidden.e_shift)).reshape(-1, pair.mid_c)
    return h, _opened(e, h, how.stage.y_zero) if hidden.gated else e, delta


def _ring(lines: Operand, made: Iterable[int], size: int) -> Operand:
    """What a ring of ``size`` lines holds after the lines ``made``, line i at i % size; 0 where none came."""
    last = {i % size: i for i in made}
    return concat([lines.part(slice(last[k], last[k] + 1)) if k in last else lines.part(slice(0, 1)) * 0 for k in range(size)])


def _last(values: Operand) -> Operand:
    return values.part(slice(None), slice(values.shape[1] - 1, values.shape[1])).flat()


def eff_pooled_pair_update_i8(
    w: Operand,
    w_low: Operand,
    b: Operand,
    v: Operand,
    v_low: Operand,
    mask: Operand,
    g: Operand,
    a: Operand,
    rate: Operand,
    step: Operand,
    pair: Pair,
    how: PairSteps,
) -> tuple[Operand, ...]:
    """Back-propagation inside the two convolutions, and the last channel's activations and delta."""
    h, e, delta = _maps(w, b, v, mask, g, a, pair, how)
    second = _change(v, v_low, _filter_sums(delta, h - how.stage.y_zero, pair.second), rate, step, how.v_how, how.fine)
    sums = _filter_sums(e, a - how.w_how.a_zero, pair.first, depthwise=bool(pair.depthwise))
    first = _change(w, w_low, sums, rate, step, how.w_how, how.fine)
    return *first, _bias(b, e.sum(0), rate, how.b_how), *second, _last(h), _last(e)


def eff_pooled_stem_update_i8(
    w: Operand,
    w_low: Operand,
    b: Operand,
    v: Operand,
    v_low: Operand,
    u: Operand,
    u_low: Operand,
    stem_b: Operand,
    mask: Operand,
    g: Operand,
    image: Operand,
    rate: Operand,
    step: Operand,
    pair: Pair,
    how: PairSteps,
    stem: Stem,
    stem_how: StemSteps,
) -> tuple[Operand, ...]:
    """The same, and the step of the convolution below."""
    window, through, u_how = stem.window(pair), stem_how.through, stem_how.u_how
    a = _forward(image - u_how.a_zero, u, stem_b, window, stem.stem_stage, depthwise=False).flat()
    *learned, h, last = eff_pooled_pair_update_i8(w, w_low, b, v, v_low, mask, g, a, rate, step, pair, how)
    sums = _input_sums(_maps(w, b, v, mask, g, a, pair, how)[1], w, pair.first, depthwise=True).flat()
    d = saturate16(requantise(sums, through.d_multiplier, through.d_shift))
    d = (_opened(d, a, how.w_how.a_zero) if through.d_gated else d).reshape(-1, pair.in_c)
    below = _change(u, u_low, _filter_sums(d, image - u_how.a_zero, window), rate, step, u_how, how.fine)
    column = _last(a.reshape(-1, pair.in_c))
    return *learned, *below, _bias(stem_b, d.sum(0), rate, stem_how.b_how), column, h, last, _last(d)


def eff_pooled_skip_update_i8(
    u: Operand,
    u_low: Operand,
    stem_b: Operand,
    mask: Operand,
    g: Operand,
    image: Operand,
    x: Operand,
    w: Operand,
    b: Operand,
    v: Operand,
    rate: Operand,
    step: Operand,
    pair: Pair,
    how: PairSteps,
    stem: Stem,
    skip: Skip,
) -> tuple[Operand, ...]:
    """The step of the convolution that makes x; the rows and sums that the kernel keeps in between, as it leaves them."""
    window, u_how = stem.window(pair), skip.u_how
    _, e, delta = _maps(w, b, v, mask, g, x, pair, how)
    through = shift_round_up(_input_sums(e, w, pair.first).flat(), skip.pre_shift)
    through, past = saturate16(requantise(through, skip.d_multiplier, skip.d_shift)), delta.flat()
    d = saturate16(past + through) if skip.onto else eff_add_i16(past, through, past.size, skip.sides, skip.total, -32767)
    d = (_opened(d, x.flat(), how.w_how.a_zero) if skip.d_gated else d).reshape(-1, pair.in_c)
    weights, biases = _filter_sums(d, image - u_how.a_zero, window), d.sum(0)
    changed = _change(u, u_low, weights, rate, step, u_how, how.fine)
    both = concat([biases.reshape(-1, 1), weights.reshape(pair.in_c, -1)], axis=1).flat().reshape(-1, 1)
    high = both >> 16
    sums = concat([both - high * 65536, high], axis=1)
    made = min(pair.mid_h, (pair.in_h - 1 + pair.pad_h) // pair.stride_h + 1)
    row = d.reshape(pair.in_h, pair.in_w, pair.in_c).part(slice(pair.in_h - 1, pair.in_h), slice(None), slice(pair.in_c - 1, pair.in_c))
    return *changed, _bias(stem_b, biases, rate, skip.b_how), _ring(e.reshape(pair.mid_h, -1), range(made), pair.k_h), row.flat(), sums


def eff_pooled_separable_i8(
    a: Operand, w: Operand, b: Operand, v: Operand, v_b: Operand, pair: Pair, how: Separable, a_zero: int
) -> tuple[Operand, ...]:
    """The bits, the averages, their sums, and the last pixel between the convolutions."""
    grid, between, out_stage = how.grid, how.stage.y_zero, how.out_stage
    h = _forward(a - a_zero, w, b, pair.first, how.stage, depthwise=True)
    last = h.part(slice(h.shape[0] - 1, h.shape[0]))  # before h goes on: LiteRT may subtract in place behind a reshape
    made = _forward(h.flat() - between, v, v_b, pair.second, out_stage, depthwise=False)
    counts = window_counts(pair.out_h, pair.out_w, grid)
    down, across = np.arange(pair.out_h) // grid.pool_h, np.arange(pair.out_w) // grid.pool_w
    place = (down[:, None] * counts.shape[1] + across).reshape(1, -1)
    member = made.nodes.constant((np.arange(counts.size).reshape(-1, 1) == place).astype(np.int64))
    totals, count = member @ made, counts.reshape(-1, 1)
    average = (totals.abs() + count // 2) // count
    average = (-average).where(totals < 0, average)
    return eff_mask_i8(made.flat(), made.size, out_stage.y_zero), average, totals, last


def eff_pooled_stem_separable_i8(
    image: Operand,
    u: Operand,
    u_b: Operand,
    w: Operand,
    b: Operand,
    v: Operand,
    v_b: Operand,
    pair: Pair,
    how: Separable,
    stem: Stem,
    image_zero: int,
) -> tuple[Operand, ...]:
    """The same above a convolution, and the rows of its output that are read last."""
    a = _forward(image - image_zero, u, u_b, stem.window(pair), stem.stem_stage, depthwise=False)
    ring = _ring(a.reshape(pair.in_h, -1), rows_read(pair), pair.k_h)
    return *eff_pooled_separable_i8(a.flat(), w, b, v, v_b, pair, how, stem.stem_stage.y_zero), ring


def eff_dense_update_fine_i8(
    w: Operand, low: Operand, delta: Operand, a: Operand, rate: Operand, step: Operand, size: Matrix, how: Step
) -> Two:
    """(w, low) -= (gain a + r) >> 14."""
    fraction = FRACTION_I8 - LOW_BITS
    gain = gain_of(delta, how.multiplier, how.shift, rate, GAIN_I8).reshape(-1, 1) * (a - how.a_zero).reshape(1, -1)
    return _fine(w, low, ((gain + rounding_of(size.n_out, size.n_in, step, fraction, how)) >> fraction).flat())
