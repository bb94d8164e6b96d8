"""Which number formats an elementwise operator has kernels for."""

from __future__ import annotations

from edgeff.errors import Unsupported
from edgeff.ir import Layer


def check_numeric(layer: Layer) -> None:
    """Raises Unsupported for what is no float32 and no int8."""
    if layer.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.kind} in {layer.numeric}", got=layer.numeric, allowed="float32, int8")
