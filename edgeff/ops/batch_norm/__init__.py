"""Batch normalisation over the last axis (Ioffe & Szegedy 2015): for training on the host, folded away before anything is quantised.

``y = weight (x - m) / sqrt(v + eps) + bias``: in training m and v are the batch's mean and (biased) variance, else the moving ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, ClassVar

import numpy as np

from edgeff.ir import Array, Layer
from edgeff.kernels.activation import ActivationFunction
from edgeff.kernels.records import Range
from edgeff.ops import Activated, Arrays, Named, operator
from edgeff.ops.attributes import Epsilon
from edgeff.ops.parallel import cached, column_sums, each, empty, row_sum, total, workspace


@operator
@dataclass(frozen=True, kw_only=True)
class BatchNorm(Activated):
    """``momentum``: the share of its old value that a moving statistic keeps per step.

    params, each (C,): ``weight``, ``bias``, and the moving ``mean`` and ``variance``.
    """

    name: ClassVar[str] = "batch_norm"
    summary: ClassVar[str] = "batch normalisation, on the host only"
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    moving: ClassVar[tuple[str, ...]] = ("mean", "variance")
    eps: Epsilon = 1e-3
    momentum: Annotated[float, Range(0.0, 1.0)] = 0.99

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """weight 1, bias 0, mean 0, variance 1."""
        channels = inputs[0][-1]
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return {"weight": ones, "bias": zeros, "mean": zeros.copy(), "variance": ones.copy()}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,), (scale, shift) = xs, self.affine(params)
        y, (rows, width) = empty(x.shape, x.dtype), _rows(x)
        _affine_rows(_rows(y)[0], rows, np.tile(scale, width), np.tile(shift, width), cached(rows), self.function)
        return y

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        """Through the moving statistics, those of ``forward``; ``backward`` goes through the batch's."""
        return (delta * self.affine(params)[0],)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        """``dy = (w dn + dw n + db) * activation'(z)`` for ``n = (x - m) s``, ``s = 1 / sqrt(v + eps)``.

        Saved statistics are the batch's, which move with x: ``dn = s (dx - mean(dx)) - n mean(n s dx)``. The moving ones may have tangents.
        """
        (x,), (dx,) = xs, dxs
        if saved is not None:
            mean, _, inverse = saved
            normal, slope = (x - mean) * inverse, inverse * dx
            over = tuple(range(x.ndim - 1))
            moved = slope - slope.mean(axis=over) - normal * (normal * slope).mean(axis=over)
        else:
            inverse = 1.0 / np.sqrt(params["variance"] + np.asarray(self.eps, x.dtype))
            normal = (x - params["mean"]) * inverse
            moved = inverse * (dx - tangents["mean"] if "mean" in tangents else dx)
            if "variance" in tangents:
                moved = moved - 0.5 * normal * (inverse * inverse * tangents["variance"])
        dz = params["weight"] * moved
        if "weight" in tangents:
            dz += tangents["weight"] * normal
        if "bias" in tangents:
            dz += tangents["bias"]
        return self.gate(layer, dz, y)

    def forward_training(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> tuple[Array, Any]:
        """The output, and the batch's mean, variance and 1 / sqrt(variance + eps)."""
        (x,) = xs
        rows, width = _rows(x)
        parts, count = cached(rows), np.asarray(x.size // x.shape[-1], x.dtype)
        centre = np.tile(column_sums(x[:1]) / np.asarray(x[:1].size // x.shape[-1], x.dtype), width)

        def moments(part: slice) -> Array:
            away = np.subtract(rows[part], centre, out=workspace("away", rows[part].shape, x.dtype))
            return np.stack([row_sum(away), row_sum(np.multiply(away, away, out=away))])

        # sums of distances from the first sample's mean, so that E[d^2] - E[d]^2 loses no digits to a large mean
        first, second = total(moments, parts).reshape(2, width, -1).sum(axis=1) / count
        mean, variance = centre[: x.shape[-1]] + first, np.maximum(second - first * first, 0)
        inverse = 1.0 / np.sqrt(variance + np.asarray(self.eps, x.dtype))
        scale = params["weight"] * inverse
        y = empty(x.shape, x.dtype)
        _affine_rows(_rows(y)[0], rows, np.tile(scale, width), np.tile(params["bias"] - mean * scale, width), parts, self.function)
        return y, (mean, variance, inverse)

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """``dx = w s (d - mean(d) - n mean(d n))`` with n the normalised x and s = 1 / sqrt(v + eps)."""
        (x,), (mean, variance, inverse) = xs, saved
        (rows, width), deltas = _rows(x), _rows(self.gate(layer, delta, y))[0]
        parts, count = cached(rows), np.asarray(x.size // x.shape[-1], x.dtype)
        centre = np.tile(mean, width)

        def sums(part: slice) -> Array:
            away = np.subtract(rows[part], centre, out=workspace("away", rows[part].shape, x.dtype))
            return np.stack([row_sum(deltas[part]), row_sum(np.multiply(away, deltas[part], out=away))])

        first, second = total(sums, parts).reshape(2, width, -1).sum(axis=1)
        second *= inverse
        size = np.asarray(len(x), x.dtype)
        gradients = {"weight": second / size, "bias": first / size, "mean": mean, "variance": variance}
        if not wanted:
            return (), gradients
        scale = params["weight"] * inverse
        slope = -scale * inverse * second / count
        level = np.tile(-scale * first / count - slope * mean, width)
        scale, slope = np.tile(scale, width), np.tile(slope, width)
        dx = empty(x.shape, x.dtype)
        dx_rows = _rows(dx)[0]

        def write(part: slice) -> None:
            out, rest = dx_rows[part], workspace("away", rows[part].shape, x.dtype)
            np.multiply(deltas[part], scale, out=out)
            np.multiply(rows[part], slope, out=rest)
            rest += level
            out += rest

        each(write, parts)
        return (dx,), gradients

    def affine(self, params: Mapping[str, Array]) -> tuple[Array, Array]:
        """Scale and shift (C,) equivalent to batch normalisation outside training, in the parameters' dtype."""
        eps = np.asarray(self.eps, params["variance"].dtype)
        scale = params["weight"] / np.sqrt(params["variance"] + eps)
        return scale, params["bias"] - params["mean"] * scale


def _rows(x: Array) -> tuple[Array, int]:
    """x as (N, width * C) and the width, which is that of an image: NumPy is slow over a few channels at a time."""
    width = x.shape[-2] if x.ndim > 2 else 1
    return x.reshape(prod(x.shape[:-1]) // width, width * x.shape[-1]), width


def _affine_rows(y: Array, x: Array, scale: Array, shift: Array, parts: list[slice], function: ActivationFunction) -> None:
    """y = activation(scale x + shift) for rows (N, K), by vectors (K,)."""

    def write(part: slice) -> None:
        np.multiply(x[part], scale, out=y[part])
        np.add(y[part], shift, out=y[part])
        function.apply(y[part])

    each(write, parts)
