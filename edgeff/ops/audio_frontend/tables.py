"""The tables of the audio front end, in the fixed point that its kernels read.

Source: tensorflow/lite/experimental/microfrontend/lib of tflite-micro (filterbank_util.c, window_util.c, pcan_gain_control_util.c).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edgeff.ir import Array

if TYPE_CHECKING:
    from edgeff.ops.audio_frontend import AudioFrontend

WINDOW_BITS, WEIGHT_BITS, GAIN_BITS = 12, 12, 21
SMOOTHING_BITS, SHARE_BITS, SNR_BITS = 10, 14, 12
"""Fractional bits of a channel's estimate beyond those of the channel, of the shares it is smoothed by, and of a signal-to-noise ratio."""
INTERVALS = 32
"""Of the gain's table, one for each most significant bit."""
F = np.float32


def window(frame: int) -> Array:
    """The periodic Hann window, half a sample on, (frame,) int16 with 12 fractional bits."""
    weights = 0.5 - 0.5 * np.cos(2 * np.pi / frame * (np.arange(frame) + 0.5))
    return np.round(weights * 2**WINDOW_BITS).astype(np.int16)


def _unit(phase: Array) -> Array:
    """exp(i phase) as pairs (n, 2) int16 with 15 fractional bits."""
    return np.floor(0.5 + 32767 * np.stack([np.cos(phase), np.sin(phase)], axis=1)).astype(np.int16)


def twiddles(fft: int) -> Array:
    """Rotations of the complex FFT of fft / 2 points, then of the split into a real FFT's bins: (fft / 2 + fft / 4, 2) int16, flat."""
    half = fft // 2
    split = -np.pi * ((np.arange(half // 2) + 1) / half + 0.5)
    return np.concatenate([_unit(-2 * np.pi * np.arange(half) / half), _unit(split)]).reshape(-1)


def mel(hz: Array | float) -> Array:
    """Frequencies on the mel scale, in float32."""
    return np.asarray(F(1127) * np.log1p(np.asarray(hz, F) / F(700)))


@lru_cache(maxsize=8)
def bank(rate: int, fft: int, bands: int, low_hz: float, high_hz: float) -> tuple[Array, Array]:
    """Weights (bins, 2) int16 with 12 fractional bits and the bounds (bands + 2,) int32 of the channels among the FFT's bins.

    Channel c, of bands + 1, has the bins bounds[c] .. bounds[c + 1] - 1; each gives its first weight to band c - 1, its second to band c.
    """
    centres = mel(low_hz) + (mel(high_hz) - mel(low_hz)) / F(bands + 1) * np.arange(1, bands + 2, dtype=F)
    per_bin = rate / fft
    mels = mel(np.arange(fft // 2 + 2) * per_bin)
    bounds = [round(1 + low_hz / per_bin)]
    for centre in centres:
        bin_ = bounds[-1]
        while bin_ <= fft // 2 and mels[bin_] <= centre:
            bin_ += 1
        bounds.append(bin_)
    below = np.concatenate([[mel(low_hz)], centres[:-1]])
    channel = np.repeat(np.arange(bands + 1), np.diff(bounds))
    share = (centres[channel] - mels[bounds[0] : bounds[-1]]) / (centres[channel] - below[channel])
    weights = np.stack([share * F(1 << WEIGHT_BITS), (F(1) - share) * F(1 << WEIGHT_BITS)], axis=1)
    return weights.astype(np.int16), np.array(bounds, np.int32)


def correction_bits(fft: int) -> int:
    """How many bits the FFT's scaling takes from a channel."""
    return fft.bit_length() - 1 - WEIGHT_BITS // 2


def gains(fft: int, strength: float, offset: float) -> Array:
    """The table (125,) int16 of the gain 2**21 (noise + offset)**-strength: its values at 0 and 1, then quadratics on each octave."""

    def gain(x: Array) -> Array:
        real = (x.astype(F) / F(1 << (SMOOTHING_BITS - correction_bits(fft))) + F(offset)) ** F(-strength) * F(1 << GAIN_BITS)
        return np.where(real > 32767, 32767, real + F(0.5)).astype(np.int64)

    octave = np.arange(2, INTERVALS + 1)
    start = np.int64(1) << (octave - 1)
    y0, y1, y2 = (gain(x) for x in (start, start + (start >> 1), np.where(octave == INTERVALS, 2 * start - 1, 2 * start)))
    slope = 4 * (y1 - y0) - (y2 - y0)
    rows = np.stack([y0, slope, y2 - y0 - slope, np.zeros_like(y0)], axis=1)
    return np.concatenate([gain(np.arange(2)), rows.reshape(-1)[:-1]]).astype(np.int16)


def logarithms() -> Array:
    """(129,) int16: log2(1 + i / 128) - i / 128 with 16 fractional bits."""
    i = np.arange(129) / 128
    return np.round(65536 * (np.log2(1 + i) - i)).astype(np.int16)


def tables(recipe: AudioFrontend) -> dict[str, Array]:
    """The kernels' tables, flat, by name."""
    weights, bounds = bank(recipe.rate, recipe.fft, recipe.bands, recipe.low_hz, recipe.high_hz)
    return {
        "window": window(recipe.frame),
        "twiddles": twiddles(recipe.fft),
        "weights": weights.reshape(-1),
        "bounds": bounds,
        "gains": gains(recipe.fft, recipe.pcan_strength, recipe.pcan_offset),
        "logs": logarithms(),
    }
