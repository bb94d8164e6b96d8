"""Model files that lie outside the repository: MLPerf Tiny's reference models, in EDGEFF_MODELS_DIR or in ../shared/models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("EDGEFF_MODELS_DIR") or Path(__file__).resolve().parents[2] / "shared" / "models")


def reference_model(name: str) -> Path | None:
    """The path of the model file ``name``, None where it is missing."""
    path = FOLDER / name
    return path if path.is_file() else None


def need_reference_model(name: str) -> Path:
    """The path of the model file ``name``; skips the test where it is missing."""
    path = reference_model(name)
    if path is None:
        pytest.skip(f"model file {name} is missing: EDGEFF_MODELS_DIR names the folder it lies in")
    return path
