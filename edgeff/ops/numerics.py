"""The number formats for which operators have kernels: refusals that several share."""

from __future__ import annotations

from edgeff.errors import Unsupported
from edgeff.ir import Layer


def check_numeric(layer: Layer) -> None:
    """Raises Unsupported for a layer that is neither float32 nor int8."""
    if layer.numeric not in ("float32", "int8"):
        raise Unsupported(f"layer {layer.name!r}, {layer.kind} in {layer.numeric}", got=layer.numeric, allowed="float32, int8")


def check_per_tensor(layer: Layer, what: str) -> None:
    """Raises Unsupported for ``what`` of an integer layer whose weights have a scale per channel."""
    if layer.quant["weight"].per_channel:
        step = "quantise with --per-tensor"
        raise Unsupported(f"{what} layer {layer.name!r}", got="per-channel weight scales", allowed="per-tensor", next_step=step)
