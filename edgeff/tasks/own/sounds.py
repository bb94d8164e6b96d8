"""A folder of one folder a class with recordings, as samples: clips of one length, and what a network reads of them.

Read are .wav files of 16-bit PCM, and with the library soundfile also .flac, .ogg and other .wav. A longer recording gives its loudest
stretch, a shorter one is followed by zeros. ``mfcc``: mel-frequency cepstral coefficients, to the bit what a board computes from audio
(``edgeff.ops.mfcc``); ``raw``: the samples / 32768. Refused: damaged and empty recordings, and, unless the settings say ``convert``,
recordings of several rates and of several channels.
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput, MissingTool, one_line
from edgeff.ir import Array
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.tasks._audio import BREAKAGES, LONGEST_SECONDS, of_length
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.samples import Samples

SUFFIXES = (".wav", ".flac", ".ogg")
LARGEST_BYTES = 1 << 30
"""Of all clips together, int16."""


def recipe(rate: int) -> Mfcc:
    """The features of sounds at ``rate`` Hz: frames of 30 ms every 20 ms, 10 coefficients of 40 bands from 20 Hz to at most 4 kHz.

    The floor of 1 in the bands hides a recording's own noise, as in the task ``fsdd``.
    """
    frame = round(0.03 * rate)
    fft = 1 << max(frame - 1, 3).bit_length()
    return Mfcc(rate=rate, frame=frame, hop=max(round(0.02 * rate), 1), fft=fft, high_hz=min(4000.0, rate / 2), eps=1.0, gain=0.125)


def read_sounds(files: Sequence[tuple[Path, str]], options: Options) -> Samples:
    """The samples of recordings (path, class)."""
    sounds = [(path, *read_sound(path)) for path, _ in files]
    rates = {rate: path for path, _, rate in sounds}
    rate = options.rate or next(iter(rates))
    if not options.convert:
        for path, samples, own in sounds:
            if samples.shape[1] > 1 or own != rate:
                got = f"{samples.shape[1]} channels" if samples.shape[1] > 1 else f"{own} Hz"
                step = "convert it, or let edgeff do it: --data convert=yes" + (
                    "" if options.rate or len(rates) == 1 else f" --data rate={min(rates)}"
                )
                others = "1 channel" if samples.shape[1] > 1 else f"{rate} Hz, as {'--data rate says' if options.rate else rates[rate]}"
                raise BadInput(f"recording {path}", got=got, allowed=others, next_step=step)
    length = max(round(options.seconds * rate), 1)
    if 2 * length * len(sounds) > LARGEST_BYTES:
        raise BadInput(
            "the recordings", got=f"{len(sounds):,} clips of {length:,} samples", allowed=f"{LARGEST_BYTES // 2:,} samples in all"
        )
    clips = np.stack([of_length(one_channel(samples, own, rate), length) for _, samples, own in sounds])
    labels = np.array([name for _, name in files])
    return of_clips(clips, labels, None, None, (), options, "recordings", rate)


def of_clips(
    clips: Array,
    labels: Array | None,
    groups: Array | None,
    test: Array | None,
    classes: tuple[str, ...],
    options: Options,
    what: str,
    rate: int = 0,
) -> Samples:
    """Samples of clips (n, samples) int16 at ``rate`` Hz (0: that of the settings)."""
    rate = rate or options.rate
    if options.sound == "raw":
        x = (clips.astype(np.float32) / np.float32(32768))[..., None]
        return Samples(x, labels, groups, test, classes=classes, inputs=f"samples at {rate} Hz / 32768")
    own = recipe(rate)
    if clips.shape[1] < own.frame:
        step = "choose a longer clip: --data seconds=.."
        raise BadInput(what, got=f"clips of {clips.shape[1]} samples", allowed=f"at least one frame of {own.frame} (30 ms)", next_step=step)
    inputs = f"{own.coefficients} mel-frequency cepstral coefficients every 20 ms of {clips.shape[1] / rate:g} s at {rate} Hz"
    return Samples(coefficients(clips, own), labels, groups, test, (), classes, inputs, recipe=own.attributes, clip=clips.shape[1])


def read_sound(path: Path) -> tuple[Array, int]:
    """The samples of a recording, (n, channels) int16 with n >= 1, and its rate in Hz. Raises BadInput; MissingTool without soundfile."""
    samples, rate = _plain_wav(path) or _with_soundfile(path)
    if not 1 <= len(samples) <= LONGEST_SECONDS * rate:
        got = "no samples" if len(samples) == 0 else f"{len(samples) / rate:.0f} s"
        raise BadInput(f"recording {path}", got=got, allowed=f"1 sample to {LONGEST_SECONDS} s", next_step="cut it, or remove it")
    return samples, rate


def _plain_wav(path: Path) -> tuple[Array, int] | None:
    """A .wav file of 16-bit PCM; None for any other, or a damaged one that soundfile may know more about."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if width != 2:
                return None
            count = min(file.getnframes(), LONGEST_SECONDS * rate + 1)
            raw = file.readframes(count)
    except BREAKAGES:
        return None
    if len(raw) < 2 * channels * count:
        got = f"{len(raw) // (2 * channels):,} of the {count:,} samples that it states"
        raise BadInput(f"recording {path}", got=got, allowed="a whole file", next_step="record or copy it again")
    return np.frombuffer(raw, "<i2").astype(np.int16).reshape(-1, channels), rate


def _with_soundfile(path: Path) -> tuple[Array, int]:
    try:
        import soundfile
    except ImportError:
        got = "a file that is no .wav of 16-bit PCM"
        step = "pip install soundfile (edgeff[data]), or convert it to a .wav of 16-bit PCM"
        raise MissingTool(f"recording {path}", got=got, allowed="without the library soundfile, 16-bit PCM alone", next_step=step) from None
    try:
        with soundfile.SoundFile(str(path)) as file:
            rate, whole = int(file.samplerate), file.subtype in ("PCM_16", "PCM_S8", "PCM_U8")
            samples = file.read(LONGEST_SECONDS * rate + 1, dtype="int16" if whole else "float64", always_2d=True)
    except (RuntimeError, OSError, ValueError) as error:
        got = one_line(str(error), 120) or type(error).__name__
        raise BadInput(f"recording {path}", got=got, allowed="a sound file", next_step="record or copy it again, or remove it") from None
    if not whole and len(samples) and not np.abs(samples).max() <= 1.0:
        got = f"samples up to {np.abs(samples).max():g}"
        raise BadInput(f"recording {path}", got=got, allowed="-1 to 1, full scale", next_step="scale it, or save it as 16-bit PCM")
    if not whole:
        samples = np.clip(np.rint(np.nan_to_num(samples) * 32768.0), -32768, 32767)
    return np.asarray(samples, np.int16), rate


def one_channel(samples: Array, rate: int, wanted: int) -> Array:
    """Samples (n, channels) int16 at ``rate`` as (m,) int16 at ``wanted`` Hz: the mean of the channels, resampled by a polyphase filter."""
    mono = samples[:, 0] if samples.shape[1] == 1 else np.rint(samples.mean(axis=1)).astype(np.int16)
    if rate == wanted:
        return mono
    from math import gcd

    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    made = resample_poly(mono.astype(np.float64), wanted // common, rate // common)
    return np.clip(np.rint(made), -32768, 32767).astype(np.int16)
