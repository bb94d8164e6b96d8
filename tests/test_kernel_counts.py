"""The fast int8 kernels stay fast: a small network with one of each, counted by zig on an emulated Cortex-M4, against the stored counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeff.device.toolchains import TOOLCHAINS

ROOT = Path(__file__).parents[1]


def test_no_kernel_takes_more_instructions_than_its_baseline() -> None:
    if not TOOLCHAINS["zig"].available():
        pytest.skip(f"zig is not installed: {TOOLCHAINS['zig'].how_to_get}")
    done = subprocess.run([sys.executable, "kernels.py", "--check"], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
