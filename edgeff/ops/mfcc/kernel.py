"""Mel-frequency cepstral coefficients of an int16 audio clip: window, real FFT, magnitudes, mel bands, logarithm, cosine transform.

All in float32 with one order of operations, so that NumPy and C give the same bits: the FFT is a complex one of half the length (radix 2,
decimation in time), sums run in index order, the logarithm is a polynomial. ``features`` computes any number of clips at once; the twins
call it for one. The tables come from ``edgeff.ops.mfcc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, In, Out, kernel
from edgeff.kernels.logarithm import ln_f32
from edgeff.kernels.overlap import Clearance, Overlap
from edgeff.kernels.records import LARGEST_FLOAT, Flag, Range, Record, Size, Zero
from edgeff.kernels.tensors import VectorI16

ScratchF32 = Annotated[Array, Out("float", "fft + bands + coefficients")]
FrameWindowF32 = Annotated[Array, In("float", "frame")]
SineF32 = Annotated[Array, In("float", "3 * fft // 4")]
MelF32 = Annotated[Array, In("float", "weights")]
SpansI32 = Annotated[Array, In("int32_t", "bands", "2")]
CosinesF32 = Annotated[Array, In("float", "coefficients", "bands")]


CLIPS_AT_ONCE = 16


SMALLEST_NORMAL = np.float32(2.0**-126)


@dataclass(frozen=True, slots=True)
class Frames(Record):
    """The frames of a clip of n samples and how each is processed; ``weights`` is the number of weights of all mel bands.

    Frame f begins at sample f hop. ``fft`` is a power of two from 4, at least ``frame``; only bins 1 .. bins - 1 count.
    """

    n: Size
    frames: Size
    frame: Size
    hop: Size
    fft: Annotated[int, Range(4, 1 << 15)]
    bins: Size
    bands: Size
    coefficients: Size
    weights: Size
    eps: Annotated[float, Range(2.0**-126, LARGEST_FLOAT)]


@dataclass(frozen=True, slots=True)
class FeatureSteps(Record):
    """A feature as int8: its scale and zero point, truncated or rounded half away from zero, wrapped around or saturated."""

    y_scale: Annotated[float, Range(2.0**-126, LARGEST_FLOAT)]
    y_zero: Zero
    truncate: Flag
    wrap: Flag


def _root(x: Array) -> Array:
    return np.where(x < SMALLEST_NORMAL, np.float32(0.0), np.sqrt(x))


def _complex_fft(re: Array, im: Array, sine: Array, fft: int) -> None:
    """The FFT along axis 0, in place: re and im (fft / 2, columns), in bit-reversed order before it."""
    columns, half = re.shape[1], 1
    while half < fft // 2:
        k = np.arange(half) * (fft // (2 * half))
        c, s = sine[k + fft // 4][:, None], sine[k][:, None]
        blocks = [part.reshape(-1, 2, half, columns) for part in (re, im)]
        (a_re, b_re), (a_im, b_im) = ((part[:, 0], part[:, 1]) for part in blocks)
        t_re, t_im = b_re * c + b_im * s, b_im * c - b_re * s
        t_re[:, 0], t_im[:, 0] = b_re[:, 0], b_im[:, 0]
        b_re[:], b_im[:] = a_re - t_re, a_im - t_im
        a_re += t_re
        a_im += t_im
        half *= 2


def _magnitudes(re: Array, im: Array, sine: Array, fft: int, bins: int) -> None:
    """Writes twice the magnitudes of bins 1 .. bins - 1 into re (fft / 2, columns)."""
    k = np.arange(1, fft // 4 + 1)
    m = fft // 2 - k
    c, s = sine[k + fft // 4][:, None], sine[k][:, None]
    even_re, even_im = re[k] + re[m], im[k] - im[m]
    odd_re, odd_im = im[k] + im[m], re[m] - re[k]
    t_re, t_im = c * odd_re + s * odd_im, c * odd_im - s * odd_re
    upper, lower = m < bins, k < bins
    difference_re, difference_im = (even_re - t_re)[upper], (even_im - t_im)[upper]
    re[m[upper]] = _root(difference_re * difference_re + difference_im * difference_im)
    sum_re, sum_im = (even_re + t_re)[lower], (even_im + t_im)[lower]
    re[k[lower]] = _root(sum_re * sum_re + sum_im * sum_im)


def _in_order(products: Array) -> Array:
    """The float32 sums along axis 0 from zero in index order, each addition rounded."""
    start = np.zeros((1, *products.shape[1:]), np.float32)
    return np.add.accumulate(np.concatenate([start, products]), axis=0, dtype=np.float32)[-1]


def bit_reversed(count: int) -> Array:
    """The numbers 0 .. count - 1 with their bits reversed; ``count`` a power of two.

    >>> bit_reversed(8).tolist()
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    order = np.zeros(1, np.int64)
    while len(order) < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _band_sums(x: Array, tables: Mapping[str, Array], sizes: Frames) -> tuple[Array, Array]:
    """Sums of the mel bands (bands, columns) and working memory (fft, columns) of frames x before windowing, (columns, frame) int16."""
    fft, frame, bands = sizes.fft, sizes.frame, sizes.bands
    sine, spans = tables["sine"], tables["spans"].reshape(-1, 2)
    samples = np.zeros((fft, len(x)), np.float32)
    np.multiply(x.T.astype(np.float32), tables["window"][:, None], out=samples[:frame])
    order = bit_reversed(fft // 2)
    re, im = samples[2 * order], samples[2 * order + 1]
    _complex_fft(re, im, sine, fft)
    _magnitudes(re, im, sine, fft, sizes.bins)
    sums, start = np.empty((bands, len(x)), np.float32), 0
    for band, (first, count) in enumerate(spans.tolist()):
        sums[band] = _in_order(re[first : first + count] * tables["mel"][start : start + count, None])
        start += count
    return sums, np.stack([re, im], axis=1).reshape(fft, -1)


def _cosines(sums: Array, gain: Array, dct: Array, sizes: Frames) -> tuple[Array, Array]:
    """Coefficients (C, columns) and working memory (bands, columns) from the sums of the bands (bands, columns)."""
    logs = ln_f32(sums * gain + np.float32(sizes.eps))
    dct = dct.reshape(-1, sizes.bands)
    y = np.empty((len(dct), sums.shape[1]), np.float32)
    y[0] = _in_order(logs * dct[0][:, None])
    logs -= logs[0].copy()
    for row in range(1, len(dct)):
        y[row] = _in_order(logs * dct[row][:, None])
    return y, logs


def _clips(x: Array, tables: Mapping[str, Array], sizes: Frames) -> tuple[Array, Array]:
    """Coefficients (B, frames, C) of clips x (B, n), and the working memory after the last frame."""
    frames, frame, hop = sizes.frames, sizes.frame, sizes.hop
    every = np.lib.stride_tricks.sliding_window_view(x, frame, axis=1)[:, : (frames - 1) * hop + 1 : hop]
    largest = np.maximum(x.max(axis=1), 1).astype(np.float32)
    gain = np.repeat(np.float32(0.5) / largest, frames)
    sums, memory = _band_sums(every.reshape(-1, frame), tables, sizes)
    y, logs = _cosines(sums, gain, tables["dct"], sizes)
    return y.T.reshape(len(x), frames, -1), np.concatenate([memory[:, -1], logs[:, -1]])


def features(x: Array, tables: Mapping[str, Array], sizes: Frames) -> Array:
    """The float32 coefficients of clips, (B, frames, C), to the bit those of ``eff_mfcc_f32``.

    Args:
        x: (B, n) int16.
        tables: window, sine, mel, spans and dct, flat.
        sizes: of a clip and its frames.
    """
    parts = [_clips(x[first : first + CLIPS_AT_ONCE], tables, sizes)[0] for first in range(0, len(x), CLIPS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty((0, sizes.frames, len(tables["dct"]) // sizes.bands), np.float32)


def feature_steps(y: Array, y_scale: float, y_zero: int, truncate: int) -> Array:
    """float32 coefficients in steps of the integer form, int64 before saturation or wrapping."""
    f = np.float32
    t = y / f(y_scale) + f(y_zero)
    if not truncate:
        t = t + np.where(t < 0, f(-0.5), f(0.5))
    return np.trunc(np.fmax(np.fmin(t, f(1.0e9)), f(-1.0e9))).astype(np.int64)


def _in_int8(values: Array, steps: FeatureSteps) -> Array:
    """float32 coefficients as int8 steps, flat."""
    v = feature_steps(values, steps.y_scale, steps.y_zero, steps.truncate).reshape(-1)
    return ((v + 128) & 255) - 128 if steps.wrap else np.clip(v, -128, 127)


def _in_int16(values: Array, y_scale: float) -> Array:
    """float32 coefficients as int16 steps, flat."""
    return np.clip(feature_steps(values, y_scale, 0, 0), -32767, 32767).reshape(-1)


def _one(scratch: Array, x: Array, tables: Mapping[str, Array], sizes: Frames) -> Array:
    y, memory = _clips(x[None], tables, sizes)
    scratch[: len(memory)] = memory
    return y[0]


def _multiplications(arguments: Arguments) -> int:
    """Per clip: the windows, the butterflies with a rotation, the split into bins, the magnitudes, two bands a bin and the transform."""
    a: Frames = arguments["sizes"]
    half = a.fft // 2
    stages = half.bit_length() - 1
    butterflies = stages * half // 2 - (half - 1)
    frame = a.frame + 4 * butterflies + 4 * (half // 2) + 4 * (a.bins - 1) + a.coefficients * a.bands
    return int(a.frames * frame)


def _push_multiplications(arguments: Arguments) -> int:
    """Of one frame, without the transform."""
    a: Frames = arguments["sizes"]
    return int(_multiplications(arguments) // a.frames - a.coefficients * a.bands)


def _frame_by_frame(size: int) -> Overlap:
    """A frame's samples are read into the scratch memory before its coefficients are written; the next frame begins ``hop`` samples on."""

    def overlap(attrs: Mapping[str, Any]) -> Mapping[tuple[str, str], Clearance]:
        frames, growth = int(attrs["frames"]), int(attrs["coefficients"]) * size - 2 * int(attrs["hop"])
        return {("y", "x"): Clearance(below=max(growth, (frames - 1) * growth) if frames > 1 else -2 * int(attrs["n"]))}

    return overlap


@kernel(macs=_multiplications)
def eff_mfcc_f32(
    y: Annotated[Array, Out("float", "frames", "coefficients")],
    scratch: ScratchF32,
    x: VectorI16,
    window: FrameWindowF32,
    sine: SineF32,
    mel: MelF32,
    spans: SpansI32,
    dct: CosinesF32,
    sizes: Frames,
) -> None:
    """x (n,) int16 -> y (frames, coefficients) float32; ``scratch`` keeps the last frame's working memory."""
    tables = {"window": window, "sine": sine, "mel": mel, "spans": spans, "dct": dct}
    y[:] = _one(scratch, x, tables, sizes).reshape(-1)


@kernel(macs=_multiplications, overlap=_frame_by_frame(1))
def eff_mfcc_i8(
    y: Annotated[Array, Out("int8_t", "frames", "coefficients")],
    scratch: ScratchF32,
    x: VectorI16,
    window: FrameWindowF32,
    sine: SineF32,
    mel: MelF32,
    spans: SpansI32,
    dct: CosinesF32,
    sizes: Frames,
    steps: FeatureSteps,
) -> None:
    """The same in int8: y / y_scale + y_zero, rounded half away from zero or truncated, saturated or wrapped around."""
    tables = {"window": window, "sine": sine, "mel": mel, "spans": spans, "dct": dct}
    values = _one(scratch, x, tables, sizes)
    scratch[sizes.fft + sizes.bands :] = values[-1]
    y[:] = _in_int8(values, steps)


@kernel(macs=_multiplications, overlap=_frame_by_frame(2))
def eff_mfcc_i16(
    y: Annotated[Array, Out("int16_t", "frames", "coefficients")],
    scratch: ScratchF32,
    x: VectorI16,
    window: FrameWindowF32,
    sine: SineF32,
    mel: MelF32,
    spans: SpansI32,
    dct: CosinesF32,
    sizes: Frames,
    y_scale: Annotated[float, Range(0.0, LARGEST_FLOAT)],
) -> None:
    """The same in int16: y / y_scale, rounded half away from zero and saturated at +-32767."""
    tables = {"window": window, "sine": sine, "mel": mel, "spans": spans, "dct": dct}
    values = _one(scratch, x, tables, sizes)
    scratch[sizes.fft + sizes.bands :] = values[-1]
    y[:] = _in_int16(values, y_scale)


HOPS, RECENT = "n // hop", "(frame + hop - 1) // hop * hop"
MelsF32 = Annotated[Array, In("float", "frames", "bands")]
PeaksI16 = Annotated[Array, In("int16_t", HOPS)]
PlacesI32 = Annotated[Array, In("int32_t", "2")]
RowScratchF32 = Annotated[Array, Out("float", "bands + coefficients")]
TRANSFORM = "frames * coefficients * bands"


@kernel(macs=_push_multiplications)
def eff_mel_push(
    mels: Annotated[Array, Out("float", "frames", "bands", also_read=True)],
    peaks: Annotated[Array, Out("int16_t", HOPS, also_read=True)],
    recent: Annotated[Array, Out("int16_t", RECENT, also_read=True)],
    at: Annotated[Array, Out("int32_t", "2", also_read=True)],
    scratch: Annotated[Array, Out("float", "fft")],
    x: Annotated[Array, In("int16_t", "hop")],
    window: FrameWindowF32,
    sine: SineF32,
    mel: MelF32,
    spans: SpansI32,
    sizes: Frames,
) -> None:
    """One hop x of audio comes, the oldest frame of a window of n = a whole number of hops goes.

    mels holds the sums of each frame's bands, peaks the largest sample of each hop, both as rings; at says where the next ones go; recent
    is the audio of the newest frame, as whole hops.
    """
    tables = {"window": window, "sine": sine, "mel": mel, "spans": spans}
    recent[:] = np.concatenate([recent[sizes.hop :], x])
    sums, memory = _band_sums(recent[None, : sizes.frame], tables, sizes)
    mels.reshape(sizes.frames, -1)[at[0]], scratch[:] = sums[:, 0], memory[:, 0]
    peaks[at[1]] = x.max()
    at[:] = (at[0] + 1) % sizes.frames, (at[1] + 1) % (sizes.n // sizes.hop)


def _of_window(scratch: Array, mels: Array, peaks: Array, at: Array, dct: Array, sizes: Frames) -> Array:
    """The coefficients (frames, C) of the window that the rings hold."""
    sums = np.roll(mels.reshape(sizes.frames, -1), -int(at[0]), axis=0).T
    gain = np.full(1, 0.5, np.float32) / np.float32(max(int(peaks.max()), 1))
    y, logs = _cosines(sums, gain, dct, sizes)
    scratch[: sizes.bands] = logs[:, -1]
    return y.T


@kernel(macs=TRANSFORM)
def eff_mel_mfcc_f32(
    y: Annotated[Array, Out("float", "frames", "coefficients")],
    scratch: RowScratchF32,
    mels: MelsF32,
    peaks: PeaksI16,
    at: PlacesI32,
    dct: CosinesF32,
    sizes: Frames,
) -> None:
    """The coefficients of the window that ``eff_mel_push`` has filled: those of ``eff_mfcc_f32`` from its n samples."""
    y[:] = _of_window(scratch, mels, peaks, at, dct, sizes).reshape(-1)


@kernel(macs=TRANSFORM)
def eff_mel_mfcc_i8(
    y: Annotated[Array, Out("int8_t", "frames", "coefficients")],
    scratch: RowScratchF32,
    mels: MelsF32,
    peaks: PeaksI16,
    at: PlacesI32,
    dct: CosinesF32,
    sizes: Frames,
    steps: FeatureSteps,
) -> None:
    """The same in int8, as ``eff_mfcc_i8``."""
    values = _of_window(scratch, mels, peaks, at, dct, sizes)
    scratch[sizes.bands :] = values[-1]
    y[:] = _in_int8(values, steps)


@kernel(macs=TRANSFORM)
def eff_mel_mfcc_i16(
    y: Annotated[Array, Out("int16_t", "frames", "coefficients")],
    scratch: RowScratchF32,
    mels: MelsF32,
    peaks: PeaksI16,
    at: PlacesI32,
    dct: CosinesF32,
    sizes: Frames,
    y_scale: Annotated[float, Range(0.0, LARGEST_FLOAT)],
) -> None:
    """The same in int16, as ``eff_mfcc_i16``."""
    values = _of_window(scratch, mels, peaks, at, dct, sizes)
    scratch[sizes.bands :] = values[-1]
    y[:] = _in_int16(values, y_scale)
