"""Batch normalisation over the last axis (Ioffe & Szegedy 2015): for training on the host, folded away before anything is quantised.

``y = weight (x - m) / sqrt(v + eps) + bias``: in training m and v are the batch's mean and (biased) variance, else the moving ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.layers import LayerKind, activate
from edgeff.layers.parallel import each, slices, total
from edgeff.registry import layers


CACHED_BYTES = 1 << 18


class BatchNorm(LayerKind):
    """attrs: ``eps momentum activation``; params, each (C,): ``weight``, ``bias``, and the moving ``mean`` and ``variance``."""

    op = "batch_norm"
    summary = "batch normalisation, on the host only"
    moving = ("mean", "variance")

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """weight 1, bias 0, mean 0, variance 1."""
        channels = inputs[0][-1]
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return {"weight": ones, "bias": zeros, "mean": zeros.copy(), "variance": ones.copy()}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        scale, shift = affine(layer, params)
        return activate(layer, xs[0] * scale + shift)

    def forward_training(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> tuple[Array, Any]:
        """The output, and the batch's mean and 1 / sqrt(variance + eps)."""
        (x,) = xs
        parts, channels = _cached(x), x.shape[-1]
        count = x.size // channels
        mean = total(lambda part: _column_sums(x[part]), parts) / np.asarray(count, x.dtype)

        def squares(part: slice) -> Array:
            centred = x[part] - mean
            np.multiply(centred, centred, out=centred)
            return _column_sums(centred)

        variance = total(squares, parts) / np.asarray(count, x.dtype)
        inverse = 1.0 / np.sqrt(variance + np.asarray(layer.attrs["eps"], x.dtype))
        scale = params["weight"] * inverse
        shift = params["bias"] - mean * scale
        y = np.empty_like(x)

        def write(part: slice) -> None:
            out = y[part]
            np.multiply(x[part], scale, out=out)
            out += shift
            activate(layer, out)

        each(write, parts)
        return y, (mean, variance, inverse)

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """``dx = w s (d - mean(d) - n mean(d n))`` with n the normalised x and s = 1 / sqrt(v + eps)."""
        (x,), (mean, variance, inverse) = xs, saved
        parts, channels = _cached(x), x.shape[-1]
        count = np.asarray(x.size // channels, x.dtype)
        dx = np.empty_like(x)
        plain = layer.attrs.get("activation", "none") == "none"

        def sums(part: slice) -> Array:
            gate = dx[part]
            if plain:
                gate[:] = delta[part]
            else:
                np.multiply(delta[part], _open(layer, y[part]), out=gate)
            normal = x[part] - mean
            normal *= gate
            return np.stack([_column_sums(gate), _column_sums(normal)])

        first, second = total(sums, parts)
        second = second * inverse
        scale = params["weight"] * inverse
        slope = -scale * inverse * second / count
        level = -scale * first / count - slope * mean

        def write(part: slice) -> None:
            out = dx[part]
            out *= scale
            rest = x[part] * slope
            rest += level
            out += rest

        if wanted:
            each(write, parts)
        size = np.asarray(len(x), x.dtype)
        gradients = {"weight": second / size, "bias": first / size, "mean": mean, "variance": variance}
        return (dx,) if wanted else (), gradients

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        raise Unsupported(f"layer {layer.name!r}", got="batch normalisation in a program", allowed="a folded network (layers.folding.fold)")


def _cached(x: Array) -> list[slice]:
    """Slices of a batch that stay in the cache."""
    return slices(len(x), CACHED_BYTES // max(x[:1].nbytes, 1))


def _column_sums(x: Array) -> Array:
    """The sums over all axes but the last, by BLAS."""
    rows = x.reshape(-1, x.shape[-1])
    return np.asarray(np.ones(len(rows), x.dtype) @ rows)


def _open(layer: Layer, y: Array) -> Array:
    """Where the activation function lets a gradient through."""
    return (y > 0) & (y < 6) if layer.attrs["activation"] == "relu6" else y > 0


def affine(layer: Layer, params: Mapping[str, Array]) -> tuple[Array, Array]:
    """Scale and shift (C,) that batch normalisation amounts to outside of training, in the parameters' dtype."""
    eps = np.asarray(layer.attrs["eps"], params["variance"].dtype)
    scale = params["weight"] / np.sqrt(params["variance"] + eps)
    return scale, params["bias"] - params["mean"] * scale


layers.add("batch_norm", BatchNorm())
