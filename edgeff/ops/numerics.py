"""Which number formats an elementwise operator has kernels for."""

from __future__ import annotations

from typing import Any

from edgeff.errors import Unsupported
from edgeff.ir import Layer


def check_numeric(build: Any, layer: Layer) -> None:
    """Raises Unsupported for what is no float32 and no int8."""
    if build.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.op} in {build.numeric}", got=build.numeric, allowed="float32, int8")
