"""The common part of the audio tasks: wav files read as untrusted, clips of one length, noise mixed in, and log-mel spectrograms.

The coefficients of the speech tasks are those of ``edgeff.ops.mfcc``, so training reads bit for bit what a board computes from audio. The
spectrograms of anomaly detection follow librosa's defaults (McFee et al. 2015), which computed the reference's features: centred frames
between zeros, periodic Hann window, Slaney's mel scale with bands of equal area. Refused, in one line that names the file: wav files that
are not 16-bit PCM of one channel, damaged, at another rate or too long.
"""

from __future__ import annotations

import struct
import wave
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array

LONGEST_SECONDS = 120
BREAKAGES = (wave.Error, EOFError, struct.error, ValueError, ArithmeticError, RuntimeError, OSError)


def read_wav(source: Path | bytes, rate: int, name: str = "") -> Array:
    """The samples of a 16-bit PCM wav file of one channel at ``rate`` Hz: (n,) int16, n >= 1.

    Args: ``source``, the file or its bytes; ``name``, its name in errors (by default its path).
    Raises: BadInput.
    """
    what = f"wav file {name or source if isinstance(source, Path) else name or 'in memory'}"
    try:
        with wave.open(BytesIO(source) if isinstance(source, bytes) else str(source), "rb") as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            if form != (1, 2, rate):
                got = f"{form[0]} channels of {8 * form[1]} bits at {form[2]} Hz"
                raise BadInput(what, got=got, allowed=f"1 channel of 16 bits at {rate} Hz")
            raw = file.readframes(min(file.getnframes(), LONGEST_SECONDS * rate + 1))
    except BREAKAGES as error:
        raise BadInput(what, got=str(error) or type(error).__name__, allowed="a wav file of 16-bit PCM") from None
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.int16)
    if not 1 <= len(samples) <= LONGEST_SECONDS * rate:
        got = "no samples" if len(samples) == 0 else f"more than {LONGEST_SECONDS} s"
        raise BadInput(what, got=got, allowed=f"1 sample to {LONGEST_SECONDS} s")
    return samples


def of_length(samples: Array, count: int) -> Array:
    """A clip of ``count`` samples: a shorter one gets zeros after it, of a longer one the loudest stretch is kept.

    Args: ``samples``, (n,) int16.

    >>> of_length(np.array([1, 5, -5, 0], np.int16), 2).tolist(), of_length(np.array([3], np.int16), 3).tolist()
    ([5, -5], [3, 0, 0])
    """
    if len(samples) > count:
        energy = np.concatenate([[0], np.cumsum(samples.astype(np.int64) ** 2)])
        first = int(np.argmax(energy[count:] - energy[:-count]))
        return samples[first : first + count]
    return np.pad(samples, (0, count - len(samples)))


def normalised(samples: Array) -> Array:
    """``samples`` scaled to a largest sample of 1, float32 (the recipe divides by the largest, not by the largest magnitude)."""
    return samples.astype(np.float32) / np.float32(max(int(samples.max()), 1))


def with_noise(clip: Array, noises: list[Array], rng: np.random.Generator, share: float = 0.8, loudest: float = 0.1) -> Array:
    """A clip with a stretch of background noise mixed in, as in the recipe of MLPerf Tiny; (n,) int16, its peak near full scale.

    Args: ``clip``, (n,) int16; ``noises``, int16 recordings (those shorter than the clip are skipped); ``share``, how often there is noise;
    ``loudest``, its volume is uniform from 0 to this, the clip's peak and the noise's full scale being 1.
    """
    mixed = normalised(clip)
    long_enough = [noise for noise in noises if len(noise) >= len(clip)]
    if long_enough and rng.random() < share:
        noise = long_enough[int(rng.integers(len(long_enough)))]
        first = int(rng.integers(len(noise) - len(clip) + 1))
        volume = np.float32(rng.uniform(0.0, loudest))
        mixed = mixed + volume * (noise[first : first + len(clip)].astype(np.float32) / np.float32(32768.0))
    return np.rint(np.clip(mixed, -1.0, 1.0) * np.float32(32767.0)).astype(np.int16)


# ------------------------------------------------------------------ log-mel spectrograms


def _slaney_mel(hz: Array) -> Array:
    """Linear to 1 kHz (200/3 Hz per mel), then 27 mels for each factor of 6.4 (Slaney 1998, Auditory Toolbox)."""
    return np.where(hz < 1000.0, hz * 3 / 200, 15.0 + 27.0 * np.log(np.maximum(hz, 1000.0) / 1000.0) / np.log(6.4))


def _slaney_hz(mel: Array) -> Array:
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


@lru_cache(maxsize=4)
def slaney_bands(rate: int, fft: int, bands: int) -> Array:
    """Triangles (bands, fft / 2 + 1) float32 from 0 to rate / 2 Hz on Slaney's mel scale, each with the area of a band of 1 Hz."""
    hz = np.arange(fft // 2 + 1) * (rate / fft)
    edges = _slaney_hz(np.linspace(0.0, float(_slaney_mel(np.array(rate / 2))), bands + 2))[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    weights = np.maximum(np.minimum(rising, falling), 0.0) * (2.0 / (edges[2:] - edges[:-2]))
    return weights.astype(np.float32)


def log_mel(samples: Array, rate: int, fft: int = 1024, hop: int = 512, bands: int = 128) -> Array:
    """10 log10 of the mel power spectrogram: (1 + n // hop, bands) float32, frame t centred on sample t hop between zeros.

    Args: ``samples``, (n,) int16, read as numbers in [-1, 1).
    """
    padded = np.pad(samples.astype(np.float32) / np.float32(32768.0), fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft)[::hop]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(fft) / fft)
    spectrum = np.fft.rfft(frames * window.astype(np.float32), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    mel = power @ slaney_bands(rate, fft, bands).T
    decibel = 10.0 * np.log10(mel.astype(np.float64) + np.finfo(np.float64).eps)
    return decibel.astype(np.float32)


def stacked(spectrogram: Array, frames: int) -> Array:
    """Windows of ``frames`` neighbouring frames, each flattened frame after frame: (T, bands) -> (T - frames + 1, frames * bands)."""
    windows = np.lib.stride_tricks.sliding_window_view(spectrogram, frames, axis=0)
    return np.ascontiguousarray(windows.transpose(0, 2, 1)).reshape(len(windows), -1)
