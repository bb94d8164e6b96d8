"""Convolution kernels, in groups or not: forward, update in place and gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, In, Out, Variant, kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise, saturate16, shift_round_up
from edgeff.kernels.overlap import Chunk, pixel_by_pixel, pixel_by_pixel_back, runs
from edgeff.kernels.packing import VECTORS_WANT, WANTED, folded_bias, pack_pairs, packable, shifts_allow, vectors_allow
from edgeff.kernels.records import Flag, OutputI8, OutputI16, Range, Relu, Requant, Size, Step, Window
from edgeff.kernels.tensors import (
    ChannelBiasF32,
    ChannelBiasI32,
    ChannelBiasI64,
    ChannelMultipliers,
    ChannelShifts,
    ChannelShiftsI16,
    DeltaImageF32,
    DeltaImageI16,
    GradientImageF32,
    GradientOntoI16,
    ImageF32,
    ImageI8,
    ImageI16,
    OutImageF32,
    OutImageI8,
    OutImageI16,
    PreShift,
    Rate,
    StepCount,
)
from edgeff.kernels.updates import BIAS_LIMIT, MOST_POSITIONS, changed_i8, gain_of, rate_of
from edgeff.kernels.wide import output_i16
from edgeff.kernels.windows import WINDOW_MACS, all_inside, group_channels, positions_inside, taps_inside, windows

WeightsF32 = Annotated[Array, In("float", "out_c", "k_h", "k_w", "in_c // groups")]
WeightsI8 = Annotated[Array, In("int8_t", "out_c", "k_h", "k_w", "in_c // groups", low=-127, high=127)]
AnyWeightsI8 = Annotated[Array, In("int8_t", "out_c", "k_h", "k_w", "in_c // groups")]


def _filters(attrs: Mapping[str, Any]) -> list[Chunk]:
    """The plain loop: filter by filter; each reads its group's channels."""
    return _by_group(attrs, 1)


def _by_group(attrs: Mapping[str, Any], lanes: int) -> list[Chunk]:
    """Group by group ``lanes`` filters at a time, then one by one; each reads its group's channels."""
    return [
        (filters.start + first, filters.start + end, read.start, read.stop)
        for read, filters in group_channels(int(attrs["groups"]), int(attrs["in_c"]), int(attrs["out_c"]))
        for first, end in runs(filters.stop - filters.start, lanes)
    ]


def _fours(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Four filters at a time, then one by one."""
    return _by_group(attrs, 4)


def _filters_i8(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Four filters at a time, the rest together; each reads every channel."""
    out_c = int(attrs["out_c"])
    return [(first, min(first + 4, out_c), 0, int(attrs["in_c"])) for first in range(0, out_c, 4)]


def _whole_pixels(attrs: Mapping[str, Any]) -> list[Chunk]:
    """All filters of a pixel after all its channels were read."""
    return [(0, int(attrs["out_c"]), 0, int(attrs["in_c"]))]


def _back(attrs: Mapping[str, Any]) -> list[Chunk]:
    """A gradient: group by group four channels at a time, then one by one; each reads its group's deltas."""
    return [
        (read.start + first, read.start + end, filters.start, filters.stop)
        for read, filters in group_channels(int(attrs["groups"]), int(attrs["in_c"]), int(attrs["out_c"]))
        for first, end in runs(read.stop - read.start, 4)
    ]


def _one_group(arguments: Arguments, _: Mapping[str, Array]) -> bool:
    return bool(arguments["window"].groups == 1)


VARIANTS_F32 = (
    Variant("x4", "x4.c", accepts=_one_group, overlap=pixel_by_pixel(_fours, size=4)),
    Variant("grouped_x4", "grouped_x4.c", overlap=pixel_by_pixel(_fours, size=4)),
)


def _one_group_inside(arguments: Arguments) -> bool:
    """What a window's column is made for."""
    window = arguments["window"]
    return bool(window.groups == 1) and all_inside(window)


def _filter(arguments: Arguments) -> int:
    """The weights of one filter."""
    window = arguments["window"]
    return int(window.k_h * window.k_w * window.in_c)


def _packable(arguments: Arguments, constants: Mapping[str, Array]) -> bool:
    window = arguments["window"]
    return window.out_c % 2 == 0 and _one_group_inside(arguments) and packable(constants, window.out_c)


def _column_bytes(arguments: Arguments) -> int:
    """Four expanded columns and one as bytes, each filled up to a multiple of eight taps, and what a copy may write past them."""
    window = arguments["window"]
    return 9 * (-(-window.k_h * window.k_w * window.in_c // 8) * 8) + 4


MVE = Variant(
    "mve",
    "mve.c",
    needs=frozenset({"mve"}),
    accepts=lambda arguments, constants: _one_group_inside(arguments) and vectors_allow(constants),
    pack=lambda arguments, constants: {"b": folded_bias(arguments, constants, constants["w"].reshape(arguments["window"].out_c, -1))},
    scratch_bytes=_filter,
    overlap=pixel_by_pixel(_whole_pixels, size=1),
    wants=f"one group, no window outside the image, {VECTORS_WANT}",
)
"""One pixel's window lies in its scratch memory."""
PACKED = Variant(
    "packed",
    "packed.c",
    needs=frozenset({"dsp"}),
    accepts=_packable,
    pack=pack_pairs,
    scratch_bytes=_column_bytes,
    overlap=pixel_by_pixel(_whole_pixels, size=1),
    wants=f"one group, an even number of filters, no window outside the image, {WANTED}",
)
DSP = Variant(
    "dsp",
    "dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, constants: (
        _one_group_inside(arguments) and shifts_allow(constants) and bool((constants["multiplier"] > 0).all())
    ),
    scratch_bytes=lambda arguments: -(-_filter(arguments) // 8) * 16 + _filter(arguments),
    overlap=pixel_by_pixel(_whole_pixels, size=1),
)
"""One pixel's window as bytes, after what the dense layer takes."""
VARIANTS_I8 = (
    MVE,
    PACKED,
    DSP,
    Variant("x4", "x4.c", accepts=_one_group, overlap=pixel_by_pixel(_filters_i8, size=1)),
    Variant("grouped_x4", "grouped_x4.c", overlap=pixel_by_pixel(_fours, size=1)),
)


@kernel(macs=WINDOW_MACS, variants=VARIANTS_F32, overlap=pixel_by_pixel(_filters, size=4))
def eff_conv2d_f32(y: OutImageF32, x: ImageF32, w: WeightsF32, b: ChannelBiasF32, window: Window, relu: Relu) -> None:
    """float32: the taps inside the image, summed from b in the order of (ky, kx, c)."""
    image, weights = x.reshape(window.in_h, window.in_w, -1), w.reshape(window.out_c, window.k_h, window.k_w, -1)
    inside = windows(np.ones(window.in_h * window.in_w, bool), window)[:, :, 0]
    sums = np.zeros((window.out_h, window.out_w, window.out_c), np.float32)
    if b is not None:
        sums[:] = b
    for read, filters in group_channels(window.groups, window.in_c, window.out_c):
        taps, part = windows(image[..., read].reshape(-1), window), sums[..., filters]
        for ky in range(window.k_h):
            for kx in range(window.k_w):
                there = inside[:, :, ky, kx, None]
                everywhere = bool(there.all())
                for c in range(weights.shape[3]):
                    added = part + weights[filters, ky, kx, c] * taps[:, :, c, ky, kx, None]
                    part = added if everywhere else np.where(there, added, part)
        sums[..., filters] = part
    y[:] = activate(sums, relu).reshape(-1)


@kernel(macs=WINDOW_MACS, variants=VARIANTS_I8, overlap=pixel_by_pixel(_filters, size=1))
def eff_conv2d_i8(
    y: OutImageI8,
    x: ImageI8,
    w: WeightsI8,
    b: ChannelBiasI32,
    multiplier: ChannelMultipliers,
    shift: ChannelShifts,
    window: Window,
    output: OutputI8,
) -> None:
    """int8 by the TFLite 8-bit specification; k_h * k_w * in_c / groups <= 32,768. The twin's sums are exact in float64."""
    sums = np.concatenate(
        [
            rows @ w.reshape(window.out_c, -1)[filters].astype(np.float64).T
            for rows, filters in _patches(x.astype(np.float64) - output.x_zero, window)
        ],
        axis=1,
    ).astype(np.int64)
    if b is not None:
        sums = sums + b
    scaled = np.clip(requantise(sums, multiplier, shift), -1024, 1024) + output.y_zero
    y[:] = np.clip(scaled, output.y_min, output.y_max).reshape(-1)


@kernel(macs=WINDOW_MACS, overlap=pixel_by_pixel(_filters, size=2))
def eff_conv2d_i16x8(
    y: OutImageI16,
    x: ImageI16,
    w: AnyWeightsI8,
    b: ChannelBiasI64,
    multiplier: ChannelMultipliers,
    shift: ChannelShiftsI16,
    window: Window,
    output: OutputI16,
) -> None:
    """int16 activations and int8 weights (TFLite's 16x8), zero points 0; exact sums (in float64 too), then the output stage.
    k_h * k_w * in_c / groups <= 2**23.
    """
    filters = w.reshape(window.out_c, -1).astype(np.float64)
    parts = [rows @ filters[made].T for rows, made in _patches(x.astype(np.float64), window)]
    sums = np.concatenate(parts, axis=1).astype(np.int64)
    y[:] = output_i16(sums if b is None else sums + b, multiplier, shift, output).reshape(-1)


def _patches(x: Array, window: Window) -> Iterator[tuple[Array, slice]]:
    """For each group the patches (positions, k_h k_w channels) that its outputs read, and those outputs' channels."""
    image = x.reshape(window.in_h, window.in_w, -1)
    for read, filters in group_channels(window.groups, window.in_c, window.out_c):
        taps = windows(image[..., read].reshape(-1), window)
        yield taps.transpose(0, 1, 3, 4, 2).reshape(window.out_h * window.out_w, -1), filters


@kernel(macs=WINDOW_MACS)
def eff_conv2d_update_f32(
    w: Annotated[Array, Out("float", "out_c", "k_h", "k_w", "in_c // groups", also_read=True)],
    delta: DeltaImageF32,
    a: ImageF32,
    rate: Rate,
    window: Window,
    lr: float,
) -> None:
    """w -= (rate / 2**16) lr S, S the sum of delta x patch over the positions whose tap lies inside, in the order of (oy, ox) from 0."""
    image, deltas = a.reshape(window.in_h, window.in_w, -1), delta.reshape(window.out_h, window.out_w, -1)
    sums = np.zeros((window.out_c, window.k_h, window.k_w, window.in_c // window.groups), np.float32)
    for oy in range(window.out_h):
        down, y = taps_inside(oy, window.stride_h, window.pad_h, window.k_h, window.in_h)
        for ox in range(window.out_w):
            across, x = taps_inside(ox, window.stride_w, window.pad_w, window.k_w, window.in_w)
            for read, filters in group_channels(window.groups, window.in_c, window.out_c):
                sums[filters, down, across] += deltas[oy, ox, filters, None, None, None] * image[y, x, read]
    w -= rate_of(rate, lr) * sums.reshape(-1)


UPDATE_DSP = Variant(
    "dsp",
    "update_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: _one_group_inside(arguments),
    scratch_bytes=lambda arguments: 4 * _filter(arguments),
)
"""The sums of one filter lie in its scratch memory."""


@kernel(macs=WINDOW_MACS, variants=(UPDATE_DSP,))
def eff_conv2d_update_i8(
    w: Annotated[Array, Out("int8_t", "out_c", "k_h", "k_w", "in_c // groups", low=-127, high=127, also_read=True)],
    delta: DeltaImageI16,
    a: ImageI8,
    rate: Rate,
    step: StepCount,
    window: Window,
    how: Step,
) -> None:
    """int8 weights: w -= (G + r) >> 22, saturated to +-127: G = requantise(S) rate with the exact S saturated at 32 bits, |G| < 2**30, r
    uniform (byte i % 4 of draw i / 4 of the step's stream for weight i as it lies in w) or one half.
    """
    deltas = delta.reshape(-1, window.out_c).astype(np.float64)
    parts = [
        (deltas[:, filters].T @ rows).astype(np.int64).reshape(-1) for rows, filters in _patches(a.astype(np.float64) - how.a_zero, window)
    ]
    w[:] = changed_i8(w, np.concatenate(parts), rate, step, how)


@kernel()
def eff_conv_bias_update_f32(
    b: Annotated[Array, Out("float", "out_c", also_read=True)],
    delta: Annotated[Array, In("float", "n", "out_c")],
    rate: Rate,
    n: Size,
    out_c: Size,
    lr: float,
) -> None:
    """b -= (rate / 2**16) lr sum of delta over its n positions, in index order from 0."""
    sums = np.zeros(out_c, np.float32)
    for row in delta.reshape(n, out_c):
        sums += row
    b -= rate_of(rate, lr) * sums


@kernel()
def eff_conv_bias_update_i32(
    b: Annotated[Array, Out("int32_t", "out_c", low=-BIAS_LIMIT, high=BIAS_LIMIT, also_read=True)],
    delta: Annotated[Array, In("int16_t", "n", "out_c")],
    rate: Rate,
    n: Annotated[int, Range(1, MOST_POSITIONS)],
    out_c: Size,
    requant: Requant,
) -> None:
    """b -= requantise(sum of delta over its n positions) rate, rounded to nearest."""
    sums = delta.reshape(n, out_c).astype(np.int64).sum(axis=0)
    b[:] = np.clip(b - gain_of(sums, requant.multiplier, requant.shift, rate, BIAS_LIMIT), -BIAS_LIMIT, BIAS_LIMIT)


@kernel(macs=WINDOW_MACS, overlap=pixel_by_pixel_back(_back, size=4))
def eff_conv2d_input_gradient_f32(d: GradientImageF32, delta: DeltaImageF32, w: WeightsF32, window: Window) -> None:
    """d: the sum of delta x weight over all windows, in the order of (ky, kx, o) from 0."""
    deltas, weights = delta.reshape(window.out_h, window.out_w, -1), w.reshape(window.out_c, window.k_h, window.k_w, -1)
    sums = np.zeros((window.in_h, window.in_w, window.in_c), np.float32)
    for ky in range(window.k_h):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in range(window.k_w):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            for read, filters in group_channels(window.groups, window.in_c, window.out_c):
                for o in range(filters.start, filters.stop):
                    sums[y, x, read] += deltas[down, across, o, None] * weights[o, ky, kx]
    d[:] = sums.reshape(-1)


def _whole_pixels_back(attrs: Mapping[str, Any]) -> list[Chunk]:
    """A gradient's pixel after all the deltas that reach it were read."""
    return [(0, int(attrs["in_c"]), 0, int(attrs["out_c"]))]


GRADIENT_DSP = Variant(
    "dsp",
    "gradient_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(
        arguments["window"].groups == 1 and arguments["window"].out_c % 2 == 0 and arguments["window"].in_c >= 4
    ),
    scratch_bytes=lambda arguments: 4 * arguments["window"].k_h * arguments["window"].k_w * arguments["window"].out_c,
    overlap=pixel_by_pixel_back(_whole_pixels_back, size=2),
)
"""The deltas that reach one pixel lie in its scratch memory, with the places of their weights."""


@kernel(macs=WINDOW_MACS, variants=(GRADIENT_DSP,), overlap=pixel_by_pixel_back(_back, size=2))
def eff_conv2d_input_gradient_i8(
    d: GradientOntoI16, delta: DeltaImageI16, w: WeightsI8, window: Window, pre_shift: PreShift, requant: Requant, add: Flag
) -> None:
    """d for int8 weights: the exact sum of delta x weight over all windows, rounded by 2**pre_shift, requantised, saturated to int16.

    With ``add`` it is added onto what d holds, and saturated again.

    2**pre_shift >= terms / 2**8 keeps the rounded sums within 2**30. The twin's sums are exact in float64.
    """
    deltas, weights = delta.reshape(window.out_h, window.out_w, -1).astype(np.float64), w.reshape(window.out_c, window.k_h, window.k_w, -1)
    sums = np.zeros((window.in_h, window.in_w, window.in_c))
    for ky in range(window.k_h):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in range(window.k_w):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            for read, filters in group_channels(window.groups, window.in_c, window.out_c):
                sums[y, x, read] += deltas[down, across, filters] @ weights[filters, ky, kx].astype(np.float64)
    rounded = shift_round_up(sums.astype(np.int64).reshape(-1), pre_shift)
    gradient = saturate16(requantise(rounded, requant.multiplier, requant.shift))
    d[:] = saturate16(gradient + d) if add else gradient
