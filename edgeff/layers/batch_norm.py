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
from edgeff.layers.parallel import cached, column_sums, each, empty, total, workspace
from edgeff.registry import layers


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
        """The output, and the batch's mean, variance and 1 / sqrt(variance + eps)."""
        (x,) = xs
        parts, wide = cached(x), _width(x.shape)
        centre = _widened(column_sums(x[0][None]) / np.asarray(x[0].size // x.shape[-1], x.dtype), wide)

        def moments(part: slice) -> Array:
            away = np.subtract(_rows(x[part], wide), centre, out=workspace("away", _rows(x[part], wide).shape, x.dtype))
            first = column_sums(away)
            np.multiply(away, away, out=away)
            return np.stack([first, column_sums(away)])

        # sums of distances from the first sample's mean: E[d^2] - E[d]^2 loses no digits to a large mean
        first, second = total(moments, parts) / np.asarray(x.size // x.shape[-1], x.dtype)
        mean, variance = centre[0] + first, np.maximum(second - first * first, 0)
        inverse = 1.0 / np.sqrt(variance + np.asarray(layer.attrs["eps"], x.dtype))
        scale, shift = _widened(params["weight"] * inverse, wide), _widened(params["bias"] - mean * params["weight"] * inverse, wide)
        y = empty(x.shape, x.dtype)

        def write(part: slice) -> None:
            out = _rows(y[part], wide)
            np.multiply(_rows(x[part], wide), scale, out=out)
            out += shift
            activate(layer, out)

        each(write, parts)
        return y, (mean, variance, inverse)

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """``dx = w s (d - mean(d) - n mean(d n))`` with n the normalised x and s = 1 / sqrt(v + eps)."""
        (x,), (mean, variance, inverse) = xs, saved
        parts, wide = cached(x), _width(x.shape)
        count = np.asarray(x.size // x.shape[-1], x.dtype)
        delta = gated(layer, delta, y)
        dx = empty(x.shape, x.dtype)
        centre = _widened(mean, wide)

        def sums(part: slice) -> Array:
            gate, away = _rows(delta[part], wide), workspace("away", _rows(x[part], wide).shape, x.dtype)
            np.subtract(_rows(x[part], wide), centre, out=away)
            np.multiply(away, gate, out=away)
            return np.stack([column_sums(gate), column_sums(away)])

        first, second = total(sums, parts)
        second = second * inverse
        scale = params["weight"] * inverse
        slope = -scale * inverse * second / count
        level = _widened(-scale * first / count - slope * mean, wide)
        scale, slope = _widened(scale, wide), _widened(slope, wide)

        def write(part: slice) -> None:
            out, rest = _rows(dx[part], wide), workspace("away", _rows(x[part], wide).shape, x.dtype)
            np.multiply(_rows(delta[part], wide), scale, out=out)
            np.multiply(_rows(x[part], wide), slope, out=rest)
            rest += level
            out += rest

        if wanted:
            each(write, parts)
        size = np.asarray(len(x), x.dtype)
        gradients = {"weight": second / size, "bias": first / size, "mean": mean, "variance": variance}
        return (dx,) if wanted else (), gradients

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        raise Unsupported(f"layer {layer.name!r}", got="batch normalisation in a program", allowed="a folded network (layers.folding.fold)")


def _width(shape: tuple[int, ...]) -> int:
    """How many positions of a row make one vector with their channels: NumPy is slow over a few channels at a time."""
    return shape[-2] if len(shape) > 2 else 1


def _rows(x: Array, width: int) -> Array:
    """x as (N, width, C)."""
    return x.reshape(-1, width, x.shape[-1])


def _widened(vector: Array, width: int) -> Array:
    """A vector (C,) for every position: (width, C)."""
    return np.repeat(vector[None], width, axis=0)


def affine(layer: Layer, params: Mapping[str, Array]) -> tuple[Array, Array]:
    """Scale and shift (C,) that batch normalisation amounts to outside of training, in the parameters' dtype."""
    eps = np.asarray(layer.attrs["eps"], params["variance"].dtype)
    scale = params["weight"] / np.sqrt(params["variance"] + eps)
    return scale, params["bias"] - params["mean"] * scale


layers.add("batch_norm", BatchNorm())
