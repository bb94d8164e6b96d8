"""What the tests of tasks share: empty folders, how a refusal reads, and the contract that a task's data keep."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks import Data, Task


def empty_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for data and cache inside ``folder``, and no way to the network; returns the data folder."""
    (folder / "data").mkdir()
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    return folder / "data"


def task(name: str) -> Task:
    found: Task = registry.tasks[name]
    return found


def refusal(action: Callable[[], Any]) -> str:
    """The message of a refusal, which is one line."""
    with pytest.raises(BadInput) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def checked(data: Data, name: str) -> Data:
    """``data``, which keep the contract of tasks."""
    assert data.input_shape == task(name).input_shape
    assert data.classes == task(name).classes
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert (x.dtype.name, y.dtype.name, len(x)) == ("float32", "int64", len(y))
        assert x.flags.c_contiguous
        assert set(y.tolist()) <= set(range(len(data.classes)))
    return data


def digests(x: Array) -> set[bytes]:
    """A digest of each sample."""
    return {hashlib.sha256(np.ascontiguousarray(sample).tobytes()).digest() for sample in x}
