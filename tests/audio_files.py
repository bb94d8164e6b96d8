"""Made-up wav files and folders of data for the tests of the audio tasks, and how a refusal reads."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeff.errors import EdgeffError
from edgeff.ir import Array


def empty_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for data and cache inside ``folder``, and no way to the network; returns the data folder."""
    (folder / "data").mkdir()
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    return folder / "data"


def wav_bytes(samples: Array, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return buffer.getvalue()


def refusal(action: Callable[[], Any]) -> str:
    """The message of a refusal, which is one line."""
    with pytest.raises(EdgeffError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tone(hz: float, count: int, rate: int = 16_000, height: float = 8000.0) -> Array:
    return (height * np.sin(2 * np.pi * hz * np.arange(count) / rate)).astype(np.int16)
