"""Batch normalisation over the last axis (Ioffe & Szegedy 2015): for training on the host, folded away before anything is quantised.

``y = weight (x - m) / sqrt(v + eps) + bias``: in training m and v are the batch's mean and (biased) variance, else the moving ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.layers import LayerKind, activate, gated
from edgeff.registry import layers


class BatchNorm(LayerKind):
    """attrs: ``eps momentum activation``; params, each (C,): ``weight``, ``bias``, and the moving ``mean`` and ``variance``."""

    op = "batch_norm"
    summary = "batch normalisation, on the host only"

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """weight 1, bias 0, mean 0, variance 1."""
        channels = inputs[0][-1]
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return {"weight": ones, "bias": zeros, "mean": zeros.copy(), "variance": ones.copy()}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        scale, shift = affine(layer, params)
        return activate(layer, xs[0] * scale + shift)

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        return gated(layer, delta, y)

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        raise Unsupported(f"layer {layer.name!r}", got="batch normalisation in a program", allowed="a folded network (layers.folding.fold)")


def affine(layer: Layer, params: Mapping[str, Array]) -> tuple[Array, Array]:
    """Scale and shift (C,) that batch normalisation amounts to outside of training, in the parameters' dtype."""
    eps = np.asarray(layer.attrs["eps"], params["variance"].dtype)
    scale = params["weight"] / np.sqrt(params["variance"] + eps)
    return scale, params["bias"] - params["mean"] * scale


layers.add("batch_norm", BatchNorm())
