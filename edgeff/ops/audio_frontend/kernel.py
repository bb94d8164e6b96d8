"""The audio front end in integers: window, FFT, mel channels, noise subtraction, automatic gain, logarithm.

Each step is that of TFLM's signal library to the bit, 16-bit FFT of KISS FFT included: a butterfly first divides what it reads by its
radix, every product is rounded to 15 fractional bits, and sums wrap around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import Arguments, In, Out, kernel
from edgeff.kernels.records import LARGEST_FLOAT, Range, Record, Size
from edgeff.ops.audio_frontend.tables import SHARE_BITS, SMOOTHING_BITS, SNR_BITS, WINDOW_BITS, correction_bits

LOG_SCALE, LN_2 = 64, 45426
"""Steps of a natural logarithm's unit, and ln 2 with 16 fractional bits."""
STEPS, DIVISOR = 256, 666
"""int8: a feature times 256 / 666, less 128."""
WORD = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class AudioFrames(Record):
    """The frames of n samples, frame f from sample f hop on; fft is 2 times a power of four; shares have 14 fractional bits."""

    n: Size
    frames: Size
    frame: Size
    hop: Size
    fft: Annotated[int, Range(128, 2048)]
    bands: Size
    bins: Size
    share: Annotated[int, Range(0, 1 << 14)]
    odd_share: Annotated[int, Range(0, 1 << 14)]
    least: Annotated[int, Range(0, 1 << 14)]


def _to16(v: Array) -> Array:
    return ((v + 32768) & 65535) - 32768


def _rounded(v: Array) -> Array:
    return _to16((v + (1 << 14)) >> 15)


def _divided(v: Array, by: int) -> Array:
    return _rounded(v * (32767 // by))


def _times(a: Array, b: Array) -> Array:
    """Complex products of pairs along the last axis."""
    re = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1]
    im = a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
    return _rounded(np.stack([re, im], axis=-1))


def _complex_fft(z: Array, turns: Array) -> Array:
    """The FFT of z (points, 2), points a power of four: where a point's number has digits d0 d1 .. in base four it comes from .. d1 d0."""
    points, size = len(z), 1
    digits = (points.bit_length() - 1) // 2
    z = z.reshape(*(4,) * digits, 2).transpose(*reversed(range(digits)), digits).reshape(points, 2)
    while size < points:
        parts = _divided(z.reshape(-1, 4, size, 2), 4)
        step = points // (4 * size) * np.arange(size)
        a, (b, c, d) = parts[:, 0], (_times(parts[:, i], turns[i * step]) for i in (1, 2, 3))
        sums, differences = _to16(a + c), _to16(a - c)
        plus, minus = _to16(b + d), _to16(b - d)
        quarter = minus[..., ::-1] * np.array([1, -1])
        z = _to16(np.stack([sums + plus, differences + quarter, sums - plus, differences - quarter], axis=1)).reshape(-1, 2)
        size *= 4
    return z


def _spectrum(samples: Array, table: Array) -> Array:
    """Bins 1 .. fft / 2 - 1 of the real FFT of samples (fft,), as pairs; bin 0 is left as the complex FFT has it."""
    half = len(samples) // 2
    turns = table.astype(np.int64).reshape(-1, 2)
    z = _complex_fft(samples.reshape(-1, 2), turns[:half])
    k = np.arange(1, half // 2 + 1)
    near, far = _divided(z[k], 2), _divided(z[half - k] * np.array([1, -1]), 2)
    even, odd = _to16(near + far), _times(_to16(near - far), turns[half + k - 1])
    made = z.copy()
    made[k] = (even + odd) >> 1
    made[half - k] = np.stack([even[:, 0] - odd[:, 0], odd[:, 1] - even[:, 1]], axis=1) >> 1
    return _to16(made)


def _largest(v: Array) -> int:
    """The largest size of 16-bit numbers; that of -32768 is the first number after it, as in the C."""
    beyond = np.flatnonzero(v == -32768)
    if not len(beyond):
        return int(np.abs(v).max())
    rest = v[beyond[-1] + 1 :]
    return int(max(rest[0], np.abs(rest[1:]).max(initial=-32768))) if len(rest) else -32768


def _windowed(x: Array, window: Array, fft: int) -> tuple[Array, int]:
    """The frame times the window, shifted left as far as 16 bits allow, and by how many bits."""
    v = np.clip((x.astype(np.int64) * window) >> WINDOW_BITS, -32768, 32767)
    largest = _largest(v)
    bits = max(15 - largest.bit_length(), 0) if largest > 0 else 0
    samples = np.zeros(fft, np.int64)
    samples[: len(v)] = _to16(v << bits)
    return samples, bits


def _root(v: Array) -> Array:
    """The square root of numbers below 2**63, rounded, but at most 65535 of one below 2**32."""
    root = np.sqrt(v.astype(np.float64)).astype(np.int64)
    root -= root * root > v
    root += (root + 1) * (root + 1) <= v
    return root + ((v - root * root > root) & ((v >= 1 << 32) | (root < 65535)))


def _channels(spectrum: Array, bits: int, tables: Mapping[str, Array]) -> Array:
    """The mel channels (bands,), roots of the energies of the bins."""
    bounds = tables["bounds"]
    bins = spectrum[bounds[0] : bounds[-1]]
    energy = (bins * bins).sum(axis=1)
    shares = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(tables["weights"].astype(np.int64).reshape(-1, 2) * energy[:, None], 0)])
    sums = np.diff(shares[bounds - bounds[0]], axis=0)
    return _root(sums[:-1, 1] + sums[1:, 0]) >> bits


def _less_noise(v: Array, noise: Array, sizes: AudioFrames) -> tuple[Array, Array]:
    """The channels less their estimated noise, and that of now; all uint64 below 2**32."""
    share = np.where(np.arange(len(v)) % 2, sizes.odd_share, sizes.share).astype(np.uint64)
    rest, bits = np.uint64(1 << SHARE_BITS) - share, np.uint64(SHARE_BITS)
    wide = (v << np.uint64(SMOOTHING_BITS)) & WORD
    noise = ((wide * share + noise * rest) >> bits) & WORD
    least = (v * np.uint64(sizes.least)) >> bits
    return np.maximum((wide - np.minimum(noise, wide)) >> np.uint64(SMOOTHING_BITS), least), noise


def _bits(v: Array) -> Array:
    """How many bits numbers above 0 and below 2**32 have."""
    return np.frexp(v.astype(np.float64))[1].astype(np.int64)


def _gain(noise: Array, table: Array) -> Array:
    """The gain of an estimate, by a quadratic on its octave, as uint64."""
    x, table = noise.astype(np.int64), table.astype(np.int64)
    octave = np.maximum(_bits(np.maximum(x, 1)), 2)
    row = 4 * octave - 6
    part = np.where(octave < 11, x << np.maximum(11 - octave, 0), x >> np.maximum(octave - 11, 0)) & 0x3FF
    slope = (((table[np.minimum(row + 2, 124)] * part) >> 5) + (table[row + 1] << 5)) * part
    made = _to16(((slope + (1 << 14)) >> 15) + table[row])
    return np.where(x <= 2, table[np.minimum(x, 2)], made).astype(np.uint64)


def _shrunk(ratio: Array) -> Array:
    """A signal-to-noise ratio of 12 fractional bits, squared below 2, with 6."""
    half = np.uint64(SNR_BITS // 2)
    small = np.minimum(ratio, np.uint64(2 << SNR_BITS))
    return np.where(
        ratio < 2 << SNR_BITS, small * small >> np.uint64(2 + SNR_BITS + SNR_BITS // 2), (ratio >> half) - (np.uint64(1) << half)
    )


def _logarithm(v: Array, table: Array) -> Array:
    """64 ln(v) of numbers below 2**32, 0 of 0 and 1, at most 32767."""
    log2 = _bits(np.maximum(v, 1)) - 1
    part = v.astype(np.int64) - (np.int64(1) << log2)
    part = np.where(log2 < 16, part << np.maximum(16 - log2, 0), part >> np.maximum(log2 - 16, 0))
    segment, table = part >> 9, table.astype(np.int64)
    part += table[segment] + (((table[segment + 1] - table[segment]) * (part - (segment << 9))) >> 16)
    ln = (LN_2 * ((log2 << 16) + part) + (1 << 15)) >> 16
    return np.where(v > 1, np.minimum((LOG_SCALE * ln + (1 << 15)) >> 16, 32767), 0)


def features(x: Array, noise: Array, tables: Mapping[str, Array], sizes: AudioFrames) -> tuple[Array, Array, Array]:
    """The features (frames, bands) int64 of samples x (n,), the noise after them, and the last frame's spectrum."""
    rows = np.empty((sizes.frames, sizes.bands), np.int64)
    estimate = noise.astype(np.int64).astype(np.uint64) & WORD
    correction = correction_bits(sizes.fft)
    for frame in range(sizes.frames):
        samples, bits = _windowed(x[frame * sizes.hop :][: sizes.frame], tables["window"], sizes.fft)
        spectrum = _spectrum(samples, tables["twiddles"])
        signal, estimate = _less_noise(_channels(spectrum, bits, tables).astype(np.uint64), estimate, sizes)
        ratio = (signal * _gain(estimate, tables["gains"]) >> np.uint64(21 - correction - SNR_BITS)) & WORD
        rows[frame] = _logarithm((_shrunk(ratio) << np.uint64(correction)) & WORD, tables["logs"])
    return rows, estimate.astype(np.uint32).view(np.int32), spectrum.reshape(-1)


def _multiplications(arguments: Arguments) -> int:
    """Per frame: the window, the rotations of three numbers of four in each stage, the split, energies and weights, noise and gain."""
    a: AudioFrames = arguments["sizes"]
    stages = (a.fft.bit_length() - 2) // 2
    return int(a.frames * (a.frame + stages * 3 * a.fft // 2 + a.fft + 4 * a.bins + 4 * a.bands))


NoiseI32 = Annotated[Array, Out("int32_t", "bands", also_read=True)]
ScratchI16 = Annotated[Array, Out("int16_t", "fft")]
AudioI16 = Annotated[Array, In("int16_t", "n", low=-32768)]
WindowI16 = Annotated[Array, In("int16_t", "frame", low=0, high=1 << WINDOW_BITS)]
TwiddlesI16 = Annotated[Array, In("int16_t", "3 * fft // 4", "2")]
WeightsI16 = Annotated[Array, In("int16_t", "bins", "2", low=0, high=1 << 12)]
BoundsI32 = Annotated[Array, In("int32_t", "bands + 2")]
GainsI16 = Annotated[Array, In("int16_t", "125")]
LogsI16 = Annotated[Array, In("int16_t", "129", low=0, high=5641)]


@kernel(macs=_multiplications)
def eff_audio_frontend_f32(
    y: Annotated[Array, Out("float", "frames", "bands")],
    noise: NoiseI32,
    scratch: ScratchI16,
    x: AudioI16,
    window: WindowI16,
    twiddles: TwiddlesI16,
    weights: WeightsI16,
    bounds: BoundsI32,
    gains: GainsI16,
    logs: LogsI16,
    sizes: AudioFrames,
    gain: Annotated[float, Range(-LARGEST_FLOAT, LARGEST_FLOAT)],
) -> None:
    """x (n,) int16 -> y (frames, bands), each feature times gain; noise is the estimate of each channel, kept from frame to frame."""
    tables = {"window": window, "twiddles": twiddles, "weights": weights, "bounds": bounds, "gains": gains, "logs": logs}
    rows, noise[:], scratch[:] = features(x, noise, tables, sizes)
    y[:] = rows.reshape(-1).astype(np.float32) * np.float32(gain)


@kernel(macs=_multiplications)
def eff_audio_frontend_i8(
    y: Annotated[Array, Out("int8_t", "frames", "bands")],
    noise: NoiseI32,
    scratch: ScratchI16,
    x: AudioI16,
    window: WindowI16,
    twiddles: TwiddlesI16,
    weights: WeightsI16,
    bounds: BoundsI32,
    gains: GainsI16,
    logs: LogsI16,
    sizes: AudioFrames,
) -> None:
    """The same in int8: (256 times a feature + 333) / 666 - 128, at most 127."""
    tables = {"window": window, "twiddles": twiddles, "weights": weights, "bounds": bounds, "gains": gains, "logs": logs}
    rows, noise[:], scratch[:] = features(x, noise, tables, sizes)
    y[:] = np.minimum((rows.reshape(-1) * STEPS + DIVISOR // 2) // DIVISOR - 128, 127)
