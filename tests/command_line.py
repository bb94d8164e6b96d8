"""The command line, run in this process or in one of its own, and the models that its tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeff.cli import run

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Runs ``edgeff`` with the given arguments."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Ended:
        self._capture.readouterr()
        status = run([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        return Ended(status, out, err)

    def ok(self, *arguments: object) -> Ended:
        """The same for a command that must end well."""
        ended = self(*arguments)
        assert ended.status == 0, ended.err
        return ended


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with ``arguments`` in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, timeout=120, check=False)


def make_models(folder: Path) -> Path:
    """``folder``, now with ``float.onnx`` and ``ff.onnx`` (trained on digits for two epochs) and ``int8.onnx`` and ``channel.onnx``."""
    digits, small = ("train", "digits", "--network", "64-16-10", "--seed", "3"), ("--epochs", "2")
    assert run([*digits, "--rule", "pepita", *small, "-o", str(folder / "float.onnx")]) == 0
    assert run([*digits, "--rule", "ff", *small, "-o", str(folder / "ff.onnx")]) == 0
    calibrate = ("quantize", str(folder / "float.onnx"), "--calibrate", "digits")
    assert run([*calibrate, "-o", str(folder / "int8.onnx")]) == 0
    assert run([*calibrate, "--per-channel", "-o", str(folder / "channel.onnx")]) == 0
    return folder
