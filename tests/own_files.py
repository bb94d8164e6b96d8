"""Small data sets as a user would have them: a table, recordings, pictures and arrays, each told apart by a simple pattern."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("fault", "idle", "run")
"""In the order of the alphabet, as classes are."""


def write_csv(path: Path, *, seed: int = 0, count: int = 120, more: str = "") -> Path:
    """Three kinds of a machine, told by ``pressure`` and, less well, by ``temp``; ``machine`` names seven of them."""
    rng = np.random.default_rng(seed)
    lines = ["pressure;temp;still;kind;machine"]
    for index in range(count):
        kind = index % 3
        lines.append(f"{101300 + 25 * kind + rng.normal():.3f};{20 + 3 * (kind == 1) + rng.normal():.3f};7;{KINDS[kind]};m{index % 7}")
    path.write_text("\n".join(lines) + "\n" + more, encoding="utf-8")
    return path


def write_wav(path: Path, samples: np.ndarray, rate: int = 8000, channels: int = 1) -> Path:
    """A .wav of 16-bit PCM; ``samples`` (n,) or (n, channels) int16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def tone(hz: float, rng: np.random.Generator, count: int = 2000, rate: int = 8000) -> np.ndarray:
    """A noisy tone, (count,) int16."""
    time = np.arange(count) / rate
    return (8000 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * time) + rng.normal(0, 300, count)).astype(np.int16)


def write_sounds(folder: Path, *, seed: int = 0, each: int = 12) -> Path:
    """``folder`` with low and high tones of a quarter of a second at 8 kHz."""
    rng = np.random.default_rng(seed)
    for name, hz in (("high", 1500.0), ("low", 300.0)):
        for index in range(each):
            write_wav(folder / name / f"{index}.wav", tone(hz, rng))
    return folder


def write_pictures(folder: Path, *, seed: int = 0, each: int = 12) -> Path:
    """``folder`` with pictures of 12x10 that are bright on the left or on the right."""
    rng = np.random.default_rng(seed)
    for name, first in (("left", 0), ("right", 6)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            pixels = rng.normal(60, 20, (10, 12, 3))
            pixels[:, first : first + 6] += 120
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


def write_npz(path: Path, *, seed: int = 0, each: int = 20) -> Path:
    """Windows of 8 samples of two axes: the first swings, or the second; labels 3 and 8, which are not consecutive."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.2, (2 * each, 8, 2)).astype(np.float32)
    y = np.where(np.arange(2 * each) % 2, 8, 3)
    swing = np.sin(np.arange(8)).astype(np.float32)
    x[y == 3, :, 0] += swing
    x[y == 8, :, 1] += swing
    np.savez(path, x=x, y=y)
    return path


def write_words(folder: Path, *, seed: int = 1, each: int = 12) -> Path:
    """``folder`` with the tones of ``write_sounds`` from later, and a tone between them as a new word."""
    write_sounds(folder, seed=seed, each=each)
    rng = np.random.default_rng(seed + 1)
    for index in range(each):
        write_wav(folder / "middle" / f"{index}.wav", tone(700.0, rng))
    return folder


def write_barometers(path: Path, devices: range, each: int) -> Path:
    """A table of the readings of barometers, their temperatures and errors in Pa: an offset, a gain and a temperature coefficient each."""
    lines = ["reading;temp;error"]
    for device in devices:
        rng = np.random.default_rng(device)
        offset, gain, per_kelvin = rng.uniform(-1500, 1500), rng.uniform(-1e-3, 1e-3), rng.uniform(-2, 2)
        for pressure, temp in zip(101_300 + 800 * rng.standard_normal(each), rng.uniform(-10, 50, each), strict=True):
            error = offset + gain * pressure + per_kelvin * (temp - 25) + 0.65 * rng.standard_normal()
            lines.append(f"{pressure + error:.2f};{temp:.2f};{error:.2f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
