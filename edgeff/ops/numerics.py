"""The number formats for which elementwise operators have kernels."""

from __future__ import annotations

from edgeff.errors import Unsupported
from edgeff.ir import Layer


def check_numeric(layer: Layer) -> None:
    """Raises Unsupported for a layer that is neither float32 nor int8."""
    if layer.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.kind} in {layer.numeric}", got=layer.numeric, allowed="float32, int8")
