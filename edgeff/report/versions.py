"""The versions that a report's figures depend on."""

from __future__ import annotations

import platform
from importlib import metadata

_DISTRIBUTIONS = (
    "edgeff",
    "numpy",
    "scipy",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-micro",
    "unicorn",
    "capstone",
    "ziglang",
    "plotly",
)


def installed_versions() -> dict[str, str | None]:
    """Python's version and that of each library the figures depend on; None if it is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
