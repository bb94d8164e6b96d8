"""The number formats for which operators have kernels: refusals that several share."""

from __future__ import annotations

from edgeff.errors import Unsupported
from edgeff.ir import Layer
from edgeff.ops import kind
from edgeff.ops.building import Value

LARGEST_SHARE = 0.1
"""The most that eps, or its root, may be of the largest input in integers, which leave it out."""


def check_numeric(layer: Layer) -> None:
    """Raises Unsupported for a layer in a number format for which its operator has no kernels."""
    if layer.numeric not in kind(layer).numerics:
        allowed = ", ".join(kind(layer).numerics)
        raise Unsupported(f"layer {layer.name!r}, {layer.kind} in {layer.numeric}", got=layer.numeric, allowed=allowed)


def is_wide(layer: Layer) -> bool:
    """Whether a layer has int16 activations and int8 weights."""
    return layer.numeric == "int16" and "weight" in layer.quant and layer.quant["weight"].dtype == "int8"


def check_learning_numeric(layer: Layer, what: str) -> None:
    """Raises Unsupported for ``what`` of a layer that is neither float32 nor int8."""
    if layer.numeric not in ("float32", "int8"):
        raise Unsupported(f"{what} layer {layer.name!r}, {layer.kind}", got=layer.numeric, allowed="float32, int8")


def check_per_tensor(layer: Layer, what: str) -> None:
    """Raises Unsupported for ``what`` of an integer layer whose weights have a scale per channel."""
    if layer.quant["weight"].per_channel:
        step = "quantise with --per-tensor"
        raise Unsupported(f"{what} layer {layer.name!r}", got="per-channel weight scales", allowed="per-tensor", next_step=step)


def check_small_eps(layer: Layer, x: Value, eps: float, power: int) -> None:
    """Raises Unsupported for an ``eps`` that is added to inputs ``x`` raised to ``power``, 1 or 2, and is not small beside the largest."""
    largest = x.scale * (127 if x.dtype == "int8" else 32767)
    if eps > (LARGEST_SHARE * largest) ** power:
        got, allowed = (
            f"eps {eps:g} for inputs up to {largest:.3g}",
            f"what is next to nothing beside {'their squares' if power == 2 else 'them'}",
        )
        raise Unsupported(f"layer {layer.name!r} in {layer.numeric}", got=got, allowed=allowed, next_step="take a smaller eps")
