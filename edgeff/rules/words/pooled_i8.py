"""Learning below a pooled linear head in int8 (``edgeff.rules.words.pooled``): one bit for each output says whether ReLU let it through.

Deltas are int16, sums exact, and each step is that of the kernels that take maps: the results are the same to the bit. With ``fine`` a
weight has a second byte, ``low``, in steps of 2**-8: together they are a 16-bit master, of which the int8 weight is the nearest whole part.
Then a step is rounded to 2**-8 of a weight's step and what is below one is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.activation import opens_i8
from edgeff.kernels.arithmetic import requantise, saturate16, shift_round_up
from edgeff.kernels.records import Count, Flag, Matrix, Multiplier, Range, Record, Requant, Shift, Sides, Size, Step, Window, Zero
from edgeff.kernels.tensors import ImageI8, PreShift, Rate, StepCount
from edgeff.kernels.updates import BIAS_LIMIT, FRACTION_I8, GAIN_I8, MOST_POSITIONS, gain_of, rounding_of
from edgeff.kernels.windows import WINDOW_MACS, positions_inside, windows
from edgeff.ops.add.kernel import eff_add_i16
from edgeff.rules.words.pooled import PAIR_MACS, Pair, PoolGrid, spread, window_counts

LOW_BITS = 8
"""The bits of a fine weight below the int8 ones."""


@dataclass(frozen=True, slots=True)
class Stage(Record):
    """The output stage of a convolution with one scale: the requantisation of its sums, and the output's zero point and limits."""

    multiplier: Multiplier
    shift: Shift
    y_zero: Zero
    y_min: Zero
    y_max: Zero

    def apply(self, sums: Array) -> Array:
        """The int8 outputs from the sums."""
        scaled = np.clip(requantise(sums, self.multiplier, self.shift), -1024, 1024) + self.y_zero
        return np.clip(scaled, self.y_min, self.y_max).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Hidden(Record):
    """Between two convolutions: the requantisation of the delta after 2**pre_shift.

    ``gated``: no delta where the activation is not above its zero point.
    """

    pre_shift: PreShift
    e_multiplier: Multiplier
    e_shift: Shift
    gated: Flag


@dataclass(frozen=True, slots=True)
class PairSteps(Record):
    """How two convolutions learn: the first's output stage, the delta between the two, the steps of w, b (the first) and v (the second).

    ``grid``: the pool over the second's output. ``fine``: weights have a lower part.
    """

    grid: PoolGrid
    stage: Stage
    hidden: Hidden
    w_how: Step
    b_how: Requant
    v_how: Step
    fine: Flag


@dataclass(frozen=True, slots=True)
class Separable(Record):
    """The output stages of a depthwise and a pointwise convolution, and the pool over the second's output."""

    stage: Stage
    out_stage: Stage
    grid: PoolGrid


@dataclass(frozen=True, slots=True)
class Stem(Record):
    """A convolution over [image_h][image_w][image_c] whose output a pair reads, and its output stage."""

    image_h: Size
    image_w: Size
    image_c: Size
    stem_k_h: Size
    stem_k_w: Size
    stem_stride_h: Size
    stem_stride_w: Size
    stem_pad_h: Count
    stem_pad_w: Count
    stem_stage: Stage

    def window(self, pair: Pair) -> Window:
        """Its windows."""
        return Window(
            *(self.image_h, self.image_w, self.image_c, pair.in_h, pair.in_w, pair.in_c, self.stem_k_h, self.stem_k_w),
            *(self.stem_stride_h, self.stem_stride_w, self.stem_pad_h, self.stem_pad_w),
        )


@dataclass(frozen=True, slots=True)
class Through(Record):
    """The requantisation of the delta of a depthwise convolution's input; ``d_gated``: none where that is not above its zero point."""

    d_multiplier: Multiplier
    d_shift: Shift
    d_gated: Flag


@dataclass(frozen=True, slots=True)
class StemSteps(Record):
    """How a convolution below a pair learns: the delta of its output, the steps of its weight u and its bias."""

    through: Through
    u_how: Step
    b_how: Requant


@dataclass(frozen=True, slots=True)
class Skip(Record):
    """How a convolution learns whose output two others read, and which is added to theirs.

    Its delta comes past the two, and through them: requantised after 2**pre_shift; with ``onto`` in the former's scale, else both are
    added as ``eff_add_i16`` does. ``d_gated``: none where the output is not above its zero point. Then the steps of its weight u and bias.
    """

    pre_shift: PreShift
    d_multiplier: Multiplier
    d_shift: Shift
    d_gated: Flag
    onto: Flag
    sides: Sides
    total: Requant
    u_how: Step
    b_how: Requant


Mask = Annotated[Array, In("int8_t", "(out_h * out_w * out_c + 7) // 8")]
SharesI16 = Annotated[Array, In("int16_t", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c")]
FIRST = "k_h * k_w * mid_c * (1 if depthwise else in_c)"
SECOND = "out_c * then_k_h * then_k_w * mid_c"
STEM = "in_c * stem_k_h * stem_k_w * image_c"
STEM_MACS = f"mid_h * mid_w * mid_c * k_h * k_w + 2 * in_h * in_w * {STEM} + {PAIR_MACS}"
SKIP_MACS = f"2 * mid_h * mid_w * {FIRST} + out_h * out_w * {SECOND} + in_h * in_w * {STEM}"
Taps = Annotated[int, Range(1, MOST_POSITIONS)]


def fine_i8(w: Array, low: Array, change: Array) -> None:
    """Takes ``change``, in steps of 2**-8, from the weights w and their lower parts, in place, saturated."""
    master = np.clip(w.astype(np.int64) * 256 + low - change, -127 * 256 - 128, 127 * 256 + 127)
    w[:] = (master + 128) >> 8
    low[:] = master - w.astype(np.int64) * 256


def _change(w: Array, low: Array, sums: Array, rate: Array, step: Array, how: Step, fine: int) -> None:
    """The step of w from the exact sums in its order, in place."""
    gain = gain_of(np.clip(sums, -(2**31), 2**31 - 1), how.multiplier, how.shift, rate, BIAS_LIMIT)
    fraction = FRACTION_I8 - (LOW_BITS if fine else 0)
    change = (gain + rounding_of(1, w.size, how.key, step, fraction, how.stochastic)[0]) >> fraction
    if fine:
        fine_i8(w, low, change)
    else:
        w[:] = np.clip(w - change, -127, 127)


def _patches(x: Array, window: Window) -> Array:
    """The patches (positions, k_h, k_w, in_c), int64."""
    taps = windows(x, window)
    return taps.transpose(0, 1, 3, 4, 2).reshape(window.out_h * window.out_w, window.k_h, window.k_w, -1)


def _filter_sums(delta: Array, x: Array, window: Window, *, depthwise: bool = False) -> Array:
    """The sums of delta x patch in the order of a convolution's weights, exact."""
    deltas, rows = delta.reshape(-1, window.out_c).astype(np.float64), _patches(x.astype(np.float64), window)
    if depthwise:
        return np.einsum("pc,pyxc->yxc", deltas, rows).reshape(-1).astype(np.int64)
    return (deltas.T @ rows.reshape(len(rows), -1)).reshape(-1).astype(np.int64)


def _input_sums(delta: Array, w: Array, window: Window, *, depthwise: bool = False) -> Array:
    """The sums of delta x weight (in_h, in_w, in_c), exact."""
    deltas, sums = (
        delta.reshape(window.out_h, window.out_w, -1).astype(np.float64),
        np.zeros((window.in_h, window.in_w, window.in_c)),
    )
    weights = w.astype(np.float64).reshape(*(() if depthwise else (window.out_c,)), window.k_h, window.k_w, -1)
    for ky in range(window.k_h):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in range(window.k_w):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            part = deltas[down, across]
            sums[y, x] += part * weights[ky, kx] if depthwise else part @ weights[:, ky, kx]
    return sums.astype(np.int64)


def _bias(b: Array, sums: Array, rate: Array, how: Requant) -> None:
    b[:] = np.clip(b - gain_of(sums, how.multiplier, how.shift, rate, BIAS_LIMIT), -BIAS_LIMIT, BIAS_LIMIT)


def _delta(g: Array, mask: Array, shape: tuple[int, int, int], grid: PoolGrid) -> Array:
    """Delta (out_h, out_w, out_c), int16, from the shares and the bits."""
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: int(np.prod(shape))]
    return spread(g, bits, shape, grid)


@kernel()
def eff_mask_i8(mask: Annotated[Array, Out("int8_t", "(n + 7) // 8")], y: Annotated[Array, In("int8_t", "n")], n: Size, zero: Zero) -> None:
    """Bit i, counted from the lowest of each byte, says whether y[i] is above ``zero`` and not saturated."""
    mask[:] = np.packbits(opens_i8(y, zero), bitorder="little").view(np.int8)


@kernel()
def eff_pool_shares_i16(
    g: Annotated[Array, Out("int16_t", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c", also_read=True)],
    out_h: Size,
    out_w: Size,
    out_c: Size,
    taps: Taps,
    grid: PoolGrid,
) -> None:
    """g = g taps / the positions of its window, rounded half away from zero, saturated: the division by ``taps`` is in the scale."""
    counts = window_counts(out_h, out_w, grid)
    wide = g.reshape(*counts.shape, out_c).astype(np.int64) * taps
    share = np.sign(wide) * ((np.abs(wide) + counts[:, :, None] // 2) // counts[:, :, None])
    g[:] = saturate16(share).reshape(-1)


@kernel(macs=WINDOW_MACS)
def eff_pooled_update_i8(
    w: Annotated[Array, Out("int8_t", "out_c", "k_h", "k_w", "in_c", low=-127, high=127, also_read=True)],
    low: Annotated[Array, Out("int8_t", "out_c * k_h * k_w * in_c if fine else 1", also_read=True)],
    mask: Mask,
    g: SharesI16,
    a: ImageI8,
    rate: Rate,
    step: StepCount,
    window: Window,
    grid: PoolGrid,
    how: Step,
    fine: Flag,
) -> None:
    """The weight of a convolution with input a, one group, from the delta that g and the mask say: as ``eff_conv2d_update_i8``."""
    delta = _delta(g, mask, (window.out_h, window.out_w, window.out_c), grid)
    _change(w, low, _filter_sums(delta, a.astype(np.int64) - how.a_zero, window), rate, step, how, fine)


@kernel()
def eff_pooled_bias_update_i32(
    b: Annotated[Array, Out("int32_t", "out_c", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)],
    mask: Mask,
    g: SharesI16,
    rate: Rate,
    out_h: Size,
    out_w: Size,
    out_c: Size,
    grid: PoolGrid,
    requant: Requant,
) -> None:
    """b -= requantise(sum of the delta that g and the mask say) rate, rounded to nearest; at most 65,536 positions."""
    delta = _delta(g, mask, (out_h, out_w, out_c), grid).astype(np.int64)
    _bias(b, delta.sum(axis=(0, 1)), rate, requant)


Weight = Annotated[Array, Out("int8_t", FIRST, low=-127, high=127, also_read=True)]
WeightLow = Annotated[Array, Out("int8_t", f"{FIRST} if fine else 1", also_read=True)]
Bias = Annotated[Array, Out("int32_t", "mid_c", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)]
Then = Annotated[Array, Out("int8_t", SECOND, low=-127, high=127, also_read=True)]
ThenLow = Annotated[Array, Out("int8_t", f"{SECOND} if fine else 1", also_read=True)]
Activations = Annotated[Array, Out("int8_t", "mid_h", "mid_w")]
Deltas = Annotated[Array, Out("int16_t", "mid_h", "mid_w")]


def _forward(a: Array, a_zero: int, w: Array, b: Array, window: Window, stage: Stage, *, depthwise: bool) -> Array:
    """The output of a convolution (positions, out_c), int8."""
    rows = _patches(a.astype(np.float64) - a_zero, window)
    if depthwise:
        sums = np.einsum("pyxc,yxc->pc", rows, w.reshape(window.k_h, window.k_w, -1).astype(np.float64))
    else:
        sums = rows.reshape(len(rows), -1) @ w.reshape(window.out_c, -1).T.astype(np.float64)
    return stage.apply(sums.astype(np.int64) + b.astype(np.int64))


class Maps(NamedTuple):
    """Activations and gated deltas (positions, mid_c) between two convolutions, and the delta of the second's output."""

    h: Array
    e: Array
    delta: Array


def _maps(w: Array, b: Array, v: Array, mask: Array, g: Array, a: Array, pair: Pair, how: PairSteps) -> Maps:
    """What the learning of a pair reads, before any weight has changed."""
    h = _forward(a, how.w_how.a_zero, w, b, pair.first, how.stage, depthwise=bool(pair.depthwise))
    delta, hidden = _delta(g, mask, (pair.out_h, pair.out_w, pair.out_c), how.grid), how.hidden
    e = requantise(shift_round_up(_input_sums(delta, v, pair.second), hidden.pre_shift), hidden.e_multiplier, hidden.e_shift)
    e = saturate16(e).reshape(-1, pair.mid_c).astype(np.int16)
    return Maps(h, np.where(opens_i8(h, how.stage.y_zero), e, np.int16(0)) if hidden.gated else e, delta)


class Learned(NamedTuple):
    """What a pair learns: the first weight, its lower part and its bias, the second weight and its lower part."""

    w: Array
    w_low: Array
    b: Array
    v: Array
    v_low: Array


def _change_pair(learned: Learned, maps: Maps, a: Array, rate: Array, step: Array, pair: Pair, how: PairSteps) -> None:
    """The steps of a pair with input a, in place."""
    w, w_low, b, v, v_low = learned
    sums = _filter_sums(maps.delta, maps.h.astype(np.int64) - how.stage.y_zero, pair.second)
    _change(v, v_low, sums, rate, step, how.v_how, how.fine)
    sums = _filter_sums(maps.e, a.astype(np.int64) - how.w_how.a_zero, pair.first, depthwise=bool(pair.depthwise))
    _change(w, w_low, sums, rate, step, how.w_how, how.fine)
    _bias(b, maps.e.astype(np.int64).sum(axis=0), rate, how.b_how)


@kernel(macs=PAIR_MACS)
def eff_pooled_pair_update_i8(
    w: Weight,
    w_low: WeightLow,
    b: Bias,
    v: Then,
    v_low: ThenLow,
    h: Activations,
    e: Deltas,
    mask: Mask,
    g: SharesI16,
    a: ImageI8,
    rate: Rate,
    step: StepCount,
    pair: Pair,
    how: PairSteps,
) -> None:
    """Weight and bias w, b of a first convolution over a, weight v of a second one: back-propagation inside the two, channel by channel.

    h and e hold a channel's activations and delta, at the end the last one's. One scale a layer; the zero point of a is ``w_how``'s.
    """
    maps = _maps(w, b, v, mask, g, a, pair, how)
    _change_pair(Learned(w, w_low, b, v, v_low), maps, a, rate, step, pair, how)
    h[:], e[:] = maps.h[:, -1], maps.e[:, -1]


@kernel(macs=STEM_MACS)
def eff_pooled_stem_update_i8(
    w: Weight,
    w_low: WeightLow,
    b: Bias,
    v: Then,
    v_low: ThenLow,
    u: Annotated[Array, Out("int8_t", STEM, low=-127, high=127, also_read=True)],
    u_low: Annotated[Array, Out("int8_t", f"{STEM} if fine else 1", also_read=True)],
    stem_b: Annotated[Array, Out("int32_t", "in_c", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)],
    x: Annotated[Array, Out("int8_t", "in_h", "in_w")],
    h: Activations,
    e: Deltas,
    d: Annotated[Array, Out("int16_t", "in_h", "in_w")],
    mask: Mask,
    g: SharesI16,
    image: Annotated[Array, In("int8_t", "image_h", "image_w", "image_c")],
    rate: Rate,
    step: StepCount,
    pair: Pair,
    how: PairSteps,
    stem: Stem,
    stem_how: StemSteps,
) -> None:
    """The same for a depthwise first convolution, and weight and bias u, stem_b of the convolution of ``image`` whose output it reads.

    A channel of that output, in x, and its delta, in d, are made and used before the next channel's; at most 512 taps of the depthwise
    convolution.
    """
    window, through, u_how = stem.window(pair), stem_how.through, stem_how.u_how
    a = _forward(image, u_how.a_zero, u, stem_b, window, stem.stem_stage, depthwise=False).reshape(-1)
    maps = _maps(w, b, v, mask, g, a, pair, how)
    sums = _input_sums(maps.e, w, pair.first, depthwise=True)
    below = saturate16(requantise(sums.reshape(-1), through.d_multiplier, through.d_shift)).astype(np.int16)
    below = np.where(opens_i8(a, how.w_how.a_zero), below, np.int16(0)) if through.d_gated else below
    _change_pair(Learned(w, w_low, b, v, v_low), maps, a, rate, step, pair, how)
    _change(u, u_low, _filter_sums(below, image.astype(np.int64) - u_how.a_zero, window), rate, step, u_how, how.fine)
    channels = below.reshape(-1, pair.in_c)
    _bias(stem_b, channels.astype(np.int64).sum(axis=0), rate, stem_how.b_how)
    h[:], e[:] = maps.h[:, -1], maps.e[:, -1]
    x[:], d[:] = a.reshape(-1, pair.in_c)[:, -1], channels[:, -1]


@kernel(macs=SKIP_MACS)
def eff_pooled_skip_update_i8(
    u: Annotated[Array, Out("int8_t", STEM, low=-127, high=127, also_read=True)],
    u_low: Annotated[Array, Out("int8_t", f"{STEM} if fine else 1", also_read=True)],
    stem_b: Annotated[Array, Out("int32_t", "in_c", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)],
    e: Annotated[Array, Out("int16_t", "k_h", "mid_w", "mid_c")],
    d: Annotated[Array, Out("int16_t", "in_w")],
    sums: Annotated[Array, Out("int32_t", f"2 * ({STEM} + in_c)")],
    mask: Mask,
    g: SharesI16,
    image: Annotated[Array, In("int8_t", "image_h", "image_w", "image_c")],
    x: ImageI8,
    w: Annotated[Array, In("int8_t", FIRST, low=-127, high=127)],
    b: Annotated[Array, In("int32_t", "mid_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)],
    v: Annotated[Array, In("int8_t", SECOND, low=-127, high=127)],
    rate: Rate,
    step: StepCount,
    pair: Pair,
    how: PairSteps,
    stem: Stem,
    skip: Skip,
) -> None:
    """Weight and bias u, stem_b of the convolution of ``image`` with output x, which two convolutions read, to whose output x is added.

    Row by row of x: of the delta between the two (not depthwise) only the rows are there that a row of x reads, row i at i % k_h in e. d
    holds a row of one channel's delta, at the end the last; ``sums`` for each filter those of its bias and its weights, s[1] 2**16 + s[0].
    """
    window, u_how = stem.window(pair), skip.u_how
    maps = _maps(w, b, v, mask, g, x, pair, how)
    through = shift_round_up(_input_sums(maps.e, w, pair.first).reshape(-1), skip.pre_shift)
    through = saturate16(requantise(through, skip.d_multiplier, skip.d_shift))
    past = maps.delta.reshape(-1).astype(np.int64)
    if skip.onto:
        delta = saturate16(past + through)
    else:
        delta = np.zeros(past.size, np.int16)
        eff_add_i16(delta, past, through, past.size, skip.sides, skip.total, -32767)
    delta = np.where(opens_i8(x, how.w_how.a_zero), delta, 0) if skip.d_gated else delta
    weights = _filter_sums(delta, image.astype(np.int64) - u_how.a_zero, window)
    channels = delta.reshape(pair.in_h, pair.in_w, pair.in_c).astype(np.int64)
    biases = channels.sum(axis=(0, 1))
    _change(u, u_low, weights, rate, step, u_how, how.fine)
    _bias(stem_b, biases, rate, skip.b_how)
    both = np.concatenate([biases[:, None], weights.reshape(pair.in_c, -1)], axis=1).reshape(-1)
    sums[:] = np.stack([both & 0xFFFF, both >> 16], axis=1).reshape(-1)
    d[:] = channels[-1, :, -1]
    rows, ring = maps.e.reshape(pair.mid_h, -1), e.reshape(pair.k_h, -1)
    ring[:] = 0
    for i in range(min(pair.mid_h, (pair.in_h - 1 + pair.pad_h) // pair.stride_h + 1)):
        ring[i % pair.k_h] = rows[i]


@kernel(macs=f"out_h * out_w * ({FIRST} + {SECOND})")
def eff_pooled_separable_i8(
    mask: Annotated[Array, Out("int8_t", "(out_h * out_w * out_c + 7) // 8")],
    y: Annotated[Array, Out("int8_t", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c")],
    sums: Annotated[Array, Out("int32_t", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c")],
    row: Annotated[Array, Out("int8_t", "mid_c")],
    a: ImageI8,
    w: Annotated[Array, In("int8_t", "k_h", "k_w", "mid_c", low=-127, high=127)],
    b: Annotated[Array, In("int32_t", "mid_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)],
    v: Annotated[Array, In("int8_t", "out_c", "mid_c", low=-127, high=127)],
    v_b: Annotated[Array, In("int32_t", "out_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)],
    pair: Pair,
    how: Separable,
    a_zero: Zero,
) -> None:
    """A depthwise convolution over a and a pointwise one, whose output is not kept: its averages y, and the mask of ReLU's gate.

    Averages as ``eff_average_pool2d_i8`` makes them; sums are the windows' sums, row the last pixel between the two convolutions.
    """
    grid, between = how.grid, how.stage.y_zero
    h = _forward(a, a_zero, w, b, pair.first, how.stage, depthwise=True)
    made = _forward(h.reshape(-1), between, v, v_b, pair.second, how.out_stage, depthwise=False)
    eff_mask_i8(mask, made.reshape(-1), made.size, how.out_stage.y_zero)
    counts = window_counts(pair.out_h, pair.out_w, grid)
    down, across = np.arange(pair.out_h) // grid.pool_h, np.arange(pair.out_w) // grid.pool_w
    totals = np.zeros((*counts.shape, pair.out_c), np.int64)
    np.add.at(totals, (down[:, None], across), made.reshape(pair.out_h, pair.out_w, -1))
    average = np.sign(totals) * ((np.abs(totals) + counts[:, :, None] // 2) // counts[:, :, None])
    y[:], sums[:], row[:] = average.reshape(-1), totals.reshape(-1), h[-1]


@kernel(macs=f"in_h * in_w * {STEM} + out_h * out_w * ({FIRST} + {SECOND})")
def eff_pooled_stem_separable_i8(
    mask: Annotated[Array, Out("int8_t", "(out_h * out_w * out_c + 7) // 8")],
    y: Annotated[Array, Out("int8_t", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c")],
    sums: Annotated[Array, Out("int32_t", "(out_h + pool_h - 1) // pool_h", "(out_w + pool_w - 1) // pool_w", "out_c")],
    row: Annotated[Array, Out("int8_t", "mid_c")],
    rows: Annotated[Array, Out("int8_t", "k_h", "in_w", "in_c")],
    image: Annotated[Array, In("int8_t", "image_h", "image_w", "image_c")],
    u: Annotated[Array, In("int8_t", "in_c", "stem_k_h", "stem_k_w", "image_c", low=-127, high=127)],
    u_b: Annotated[Array, In("int32_t", "in_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)],
    w: Annotated[Array, In("int8_t", "k_h", "k_w", "mid_c", low=-127, high=127)],
    b: Annotated[Array, In("int32_t", "mid_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)],
    v: Annotated[Array, In("int8_t", "out_c", "mid_c", low=-127, high=127)],
    v_b: Annotated[Array, In("int32_t", "out_c", low=-BIAS_LIMIT, high=BIAS_LIMIT)],
    pair: Pair,
    how: Separable,
    stem: Stem,
    image_zero: Zero,
) -> None:
    """The same above a convolution of ``image``, of whose output only the k_h rows that a window reads are there, in ``rows``.

    Row i lies at i % k_h; a row that no window reads is not made. A window of at most 32,768 products.
    """
    a = _forward(image, image_zero, u, u_b, stem.window(pair), stem.stem_stage, depthwise=False)
    eff_pooled_separable_i8(mask, y, sums, row, a.reshape(-1), w, b, v, v_b, pair, how, stem.stem_stage.y_zero)
    made, ring = a.reshape(pair.in_h, -1), rows.reshape(pair.k_h, -1)
    ring[:] = 0
    for i in rows_read(pair):
        ring[i % pair.k_h] = made[i]


def rows_read(pair: Pair) -> list[int]:
    """The rows of a pair's input that its first convolution reads, in order."""
    tops = [oy * pair.stride_h - pair.pad_h for oy in range(pair.out_h)]
    return sorted({i for top in tops for i in range(max(top, 0), min(top + pair.k_h, pair.in_h))})


@kernel(macs="n_out * n_in")
def eff_dense_update_fine_i8(
    w: Annotated[Array, Out("int8_t", "n_out", "n_in", low=-127, high=127, also_read=True)],
    low: Annotated[Array, Out("int8_t", "n_out", "n_in", also_read=True)],
    delta: Annotated[Array, In("int16_t", "n_out")],
    a: Annotated[Array, In("int8_t", "n_in")],
    rate: Rate,
    step: StepCount,
    size: Matrix,
    how: Step,
) -> None:
    """The fine weights of a dense layer: (w, low) -= (G_j (a_k - a_zero) + r) >> 14, with G and r as in ``eff_dense_update_i8``."""
    fraction = FRACTION_I8 - LOW_BITS
    gain = gain_of(delta, how.multiplier, how.shift, rate, GAIN_I8)[:, None] * (a.astype(np.int64) - how.a_zero)
    fine_i8(w, low, ((gain + rounding_of(size.n_out, size.n_in, how.key, step, fraction, how.stochastic)) >> fraction).reshape(-1))
