"""Depthwise convolution kernels: forward, update in place and gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, In, Out, Variant, kernel
from edgeff.kernels.activation import activate
from edgeff.kernels.arithmetic import requantise, saturate16
from edgeff.kernels.overlap import Chunk, channel_planes, pixel_by_pixel, pixel_by_pixel_back, runs
from edgeff.kernels.packing import VECTORS_WANT, folded_bias, pack_columns, shifts_allow, vectors_allow
from edgeff.kernels.records import Flag, OutputI8, OutputI16, Relu, Requant, Step, Window
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
    Rate,
    StepCount,
)
from edgeff.kernels.updates import changed_i8, rate_of
from edgeff.kernels.wide import output_i16
from edgeff.kernels.windows import WINDOW_MACS, all_inside, positions_inside, taps_inside, windows

WeightsF32 = Annotated[Array, In("float", "k_h", "k_w", "out_c")]
MOST_TAPS = 25
"""So many inputs' places ``mve.c`` keeps."""
WeightsI8 = Annotated[Array, In("int8_t", "k_h", "k_w", "out_c", low=-127, high=127)]
AnyWeightsI8 = Annotated[Array, In("int8_t", "k_h", "k_w", "out_c")]


def _channels(attrs: Mapping[str, Any]) -> list[Chunk]:
    """With one output per channel: four channels at a time, then one by one; else each channel's outputs one by one."""
    channels = int(attrs["in_c"])
    depth = int(attrs["out_c"]) // channels
    if depth == 1:
        return [(first, end, first, end) for first, end in runs(channels, 4)]
    return [(output, output + 1, output // depth, output // depth + 1) for output in range(channels * depth)]


def _outputs(attrs: Mapping[str, Any]) -> list[Chunk]:
    """One output at a time, each from its channel."""
    depth = int(attrs["out_c"]) // int(attrs["in_c"])
    return [(output, output + 1, output // depth, output // depth + 1) for output in range(int(attrs["out_c"]))]


def _back(attrs: Mapping[str, Any]) -> list[Chunk]:
    """A gradient: with one output per channel four channels at a time, then one by one; else each channel from its outputs."""
    channels = int(attrs["in_c"])
    depth = int(attrs["out_c"]) // channels
    return [(first, end, first * depth, end * depth) for first, end in runs(channels, 4 if depth == 1 else 1)]


def _planar(arguments: Arguments, constants: Mapping[str, Array]) -> bool:
    window = arguments["window"]
    square = window.k_h == window.k_w == 3 and window.stride_h == window.stride_w <= 2
    planes = square and window.in_c == window.out_c and all_inside(window)
    return bool(planes and "w" in constants) and shifts_allow(constants)


def _plane_bytes(arguments: Arguments) -> int:
    """One channel with the rows and columns around the image that windows reach, in pairs of halfwords."""
    window = arguments["window"]
    pairs = (window.out_h + 1) // 2 + 1 if window.stride_h == 1 else window.out_h + 1
    return 4 * pairs * ((window.out_w - 1) * window.stride_w + 3)


def _by_eights(attrs: Mapping[str, Any]) -> list[Chunk]:
    """Eight channels at a time."""
    return [(first, first + 8, first, first + 8) for first in range(0, int(attrs["in_c"]), 8)]


def _pack_eights(arguments: Arguments, constants: Mapping[str, Array]) -> Mapping[str, Array | None]:
    """For each eight channels the weights of all taps; biases with the zero point; factors of each channel."""
    channels = arguments["window"].out_c
    taps = constants["w"].reshape(-1, channels)
    eights = taps.reshape(-1, channels // 8, 8).transpose(1, 0, 2)
    factors = {name: np.broadcast_to(constants[name], channels) for name in ("multiplier", "shift")}
    return {"w": eights, "b": folded_bias(arguments, constants, taps.T), **factors}


def _by_vectors(arguments: Arguments, constants: Mapping[str, Array]) -> bool:
    window = arguments["window"]
    fits = window.in_c == window.out_c and window.in_c % 8 == 0 and 2 <= window.k_h * window.k_w <= MOST_TAPS
    return bool(fits) and vectors_allow(constants)


MVE = Variant(
    "mve",
    "mve.c",
    needs=frozenset({"mve"}),
    accepts=_by_vectors,
    pack=_pack_eights,
    scratch_bytes=lambda arguments: int(arguments["window"].in_c),
    overlap=pixel_by_pixel(_by_eights, size=1),
    wants=f"one output per channel, a multiple of 8 channels, 2 to 25 taps, {VECTORS_WANT}",
)
PLANE = Variant(
    "plane",
    "plane.c",
    needs=frozenset({"dsp"}),
    accepts=_planar,
    pack=pack_columns,
    scratch_bytes=_plane_bytes,
    overlap=channel_planes,
    wants="3x3 taps, stride 1 or 2, one output per channel, no window outside the image, constant weights, shifts of -2 to -31",
)


@kernel(macs=WINDOW_MACS, overlap=pixel_by_pixel(_channels, size=4))
def eff_depthwise_conv2d_f32(y: OutImageF32, x: ImageF32, w: WeightsF32, b: ChannelBiasF32, window: Window, relu: Relu) -> None:
    """float32: x (in_h, in_w, in_c), w (k_h, k_w, in_c * depth), b (in_c * depth,) -> y (out_h, out_w, in_c * depth), in index order."""
    taps = np.repeat(windows(x, window), (window.out_c // window.in_c), axis=2)
    inside = windows(np.ones(window.in_h * window.in_w, bool), window)[:, :, 0]
    weights = w.reshape(window.k_h, window.k_w, window.in_c * (window.out_c // window.in_c))
    sums = np.zeros((window.out_h, window.out_w, window.in_c * (window.out_c // window.in_c)), np.float32)
    if b is not None:
        sums[:] = b
    for ky in range(window.k_h):
        for kx in range(window.k_w):
            sums = np.where(inside[:, :, ky, kx, None], sums + weights[ky, kx] * taps[:, :, :, ky, kx], sums)
    y[:] = activate(sums, relu).reshape(-1)


@kernel(macs=WINDOW_MACS, variants=(MVE, PLANE), overlap=pixel_by_pixel(_channels, size=1))
def eff_depthwise_conv2d_i8(
    y: OutImageI8,
    x: ImageI8,
    w: WeightsI8,
    b: ChannelBiasI32,
    multiplier: ChannelMultipliers,
    shift: ChannelShifts,
    window: Window,
    output: OutputI8,
) -> None:
    """int8 by the TFLite 8-bit specification; multiplier and shift (1,) or, per channel, (in_c * depth,). k_h * k_w <= 32,768."""
    taps = windows(x.astype(np.int64) - output.x_zero, window)
    weights = w.reshape(window.k_h, window.k_w, window.in_c * (window.out_c // window.in_c)).astype(np.int64)
    sums = np.zeros((window.out_h, window.out_w, window.in_c * (window.out_c // window.in_c)), np.int64)
    if b is not None:
        sums[:] = b
    for ky in range(window.k_h):
        for kx in range(window.k_w):
            sums += weights[ky, kx] * np.repeat(taps[:, :, :, ky, kx], (window.out_c // window.in_c), axis=2)
    y[:] = np.clip(np.clip(requantise(sums, multiplier, shift), -1024, 1024) + output.y_zero, output.y_min, output.y_max).reshape(-1)


@kernel(macs=WINDOW_MACS, overlap=pixel_by_pixel(_outputs, size=2))
def eff_depthwise_conv2d_i16x8(
    y: OutImageI16,
    x: ImageI16,
    w: AnyWeightsI8,
    b: ChannelBiasI64,
    multiplier: ChannelMultipliers,
    shift: ChannelShiftsI16,
    window: Window,
    output: OutputI16,
) -> None:
    """int16 activations and int8 weights (TFLite's 16x8), zero points 0; exact sums, then the output stage. k_h * k_w <= 2**23."""
    taps = np.repeat(windows(x.astype(np.int64), window), window.out_c // window.in_c, axis=2)
    sums = (taps * w.reshape(window.k_h, window.k_w, window.out_c).transpose(2, 0, 1)).sum(axis=(3, 4))
    y[:] = output_i16(sums if b is None else sums + b, multiplier, shift, output).reshape(-1)


@kernel(macs=WINDOW_MACS)
def eff_depthwise_conv2d_update_f32(
    w: Annotated[Array, Out("float", "k_h", "k_w", "out_c", also_read=True)],
    delta: DeltaImageF32,
    a: ImageF32,
    rate: Rate,
    window: Window,
    lr: float,
) -> None:
    """w (k_h, k_w, in_c * depth) -= (rate / 2**16) lr sum of delta x tap; the sum in the order of (oy, ox) from 0."""
    image = np.repeat(a.reshape(window.in_h, window.in_w, window.in_c), (window.out_c // window.in_c), axis=2)
    deltas = delta.reshape(window.out_h, window.out_w, window.in_c * (window.out_c // window.in_c))
    sums = np.zeros((window.k_h, window.k_w, window.in_c * (window.out_c // window.in_c)), np.float32)
    for oy in range(window.out_h):
        down, y = taps_inside(oy, window.stride_h, window.pad_h, window.k_h, window.in_h)
        for ox in range(window.out_w):
            across, x = taps_inside(ox, window.stride_w, window.pad_w, window.k_w, window.in_w)
            sums[down, across] += deltas[oy, ox] * image[y, x]
    w -= rate_of(rate, lr) * sums.reshape(-1)


SAFE_POSITIONS = 256
"""So many products of an int16 and an int8 fit 32 bits."""
UPDATE_DSP = Variant(
    "dsp",
    "update_dsp.c",
    needs=frozenset({"dsp"}),
    accepts=lambda arguments, _: bool(
        arguments["window"].in_c == arguments["window"].out_c >= 4
        and arguments["window"].out_h * arguments["window"].out_w <= SAFE_POSITIONS
    ),
    scratch_bytes=lambda arguments: 4 * int(arguments["window"].in_c),
)
"""A tap's sums lie in its scratch memory."""


@kernel(macs=WINDOW_MACS, variants=(UPDATE_DSP,))
def eff_depthwise_conv2d_update_i8(
    w: Annotated[Array, Out("int8_t", "k_h", "k_w", "out_c", low=-127, high=127, also_read=True)],
    delta: DeltaImageI16,
    a: ImageI8,
    rate: Rate,
    step: StepCount,
    window: Window,
    how: Step,
) -> None:
    """int8 weights: w -= (G + r) >> 22, saturated to +-127; see edgeff.h for G and r."""
    taps = windows(a.astype(np.int64) - how.a_zero, window)
    deltas = delta.reshape(window.out_h, window.out_w, window.in_c * (window.out_c // window.in_c)).astype(np.int64)
    sums = np.einsum("hwcyx,hwc->yxc", np.repeat(taps, (window.out_c // window.in_c), axis=2), deltas)
    w[:] = changed_i8(w, sums.reshape(-1), rate, step, how)


@kernel(macs=WINDOW_MACS, overlap=pixel_by_pixel_back(_back, size=4))
def eff_depthwise_conv2d_input_gradient_f32(d: GradientImageF32, delta: DeltaImageF32, w: WeightsF32, window: Window) -> None:
    """d (in_h, in_w, in_c): the sum of delta x weight over all windows, in the order of (ky, kx, q) from 0."""
    deltas, weights = (
        delta.reshape(window.out_h, window.out_w, window.in_c, (window.out_c // window.in_c)),
        w.reshape(window.k_h, window.k_w, window.in_c, (window.out_c // window.in_c)),
    )
    sums = np.zeros((window.in_h, window.in_w, window.in_c), np.float32)
    for ky in range(window.k_h):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in range(window.k_w):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            for q in range(window.out_c // window.in_c):
                sums[y, x] += deltas[down, across, :, q] * weights[ky, kx, :, q]
    d[:] = sums.reshape(-1)


@kernel(macs=WINDOW_MACS, overlap=pixel_by_pixel_back(_back, size=2))
def eff_depthwise_conv2d_input_gradient_i8(
    d: GradientOntoI16, delta: DeltaImageI16, w: WeightsI8, window: Window, requant: Requant, add: Flag
) -> None:
    """d for int8 weights: the exact sum of delta x weight over all windows, requantised, saturated to int16.

    With ``add`` it is added onto what d holds, and saturated again.

    At most 512 products an input, k_h * k_w * out_c / in_c of them, fit the sum's 32 bits.
    """
    depth = window.out_c // window.in_c
    deltas = delta.reshape(window.out_h, window.out_w, window.in_c, depth).astype(np.int64)
    weights = w.reshape(window.k_h, window.k_w, window.in_c, depth).astype(np.int64)
    sums = np.zeros((window.in_h, window.in_w, window.in_c), np.int64)
    for ky in range(window.k_h):
        down, y = positions_inside(ky, window.stride_h, window.pad_h, window.in_h, window.out_h)
        for kx in range(window.k_w):
            across, x = positions_inside(kx, window.stride_w, window.pad_w, window.in_w, window.out_w)
            sums[y, x] += (deltas[down, across] * weights[ky, kx]).sum(axis=-1)
    gradient = saturate16(requantise(sums.reshape(-1), requant.multiplier, requant.shift))
    d[:] = saturate16(gradient + d) if add else gradient
