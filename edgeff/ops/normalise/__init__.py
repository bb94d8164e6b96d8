"""Normalisation by the root mean square, ``y = x / (rms(x) + eps)``: it stands between the layers of a Forward-Forward network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.ops import Arrays, Example, Named, Operator, operator
from edgeff.ops.attributes import Epsilon
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_small_eps
from edgeff.ops.parallel import empty

WIDEST = 8.0


@operator
@dataclass(frozen=True, kw_only=True)
class Normalise(Operator):
    """Hides a layer's goodness from the next one (Hinton 2022). On a device no gradient passes through it.

    Integers take a part of an input step in the place of eps, which only keeps zeros from a division by zero.
    """

    name: ClassVar[str] = "normalise"
    summary: ClassVar[str] = "x / rms(x)"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_places: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"eps": 1e-4})
    eps: Epsilon

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        length = _rms(x) + np.asarray(self.eps, x.dtype)
        return np.divide(x, length.reshape(-1, *(1,) * (x.ndim - 1)), out=empty(x.shape, x.dtype))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        """The Jacobian ``(I - x x^T / (n r (r + eps))) / (r + eps)``, r the root mean square, is symmetric."""
        return (_slope(xs[0], delta, self.eps),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return _slope(xs[0], dxs[0], self.eps)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        n = prod(layer.shape)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if layer.numeric == "float32":
            attrs: dict[str, float] = {"n": n, "eps": self.eps}
        else:
            check_small_eps(layer, x, self.eps, 1)
            if layer.numeric == "int8":
                build.at_most(x.dtype, 33_000, n, f"layer {layer.name!r}")
                if y.scale <= 2.0**-7:
                    raise Unsupported(f"layer {layer.name!r} in int8", got=f"outputs in steps of {y.scale:.3g}", allowed="above 2**-7")
            attrs = {"n": n, "gain": round(2.0 ** (24 if layer.numeric == "int8" else 16) / y.scale)}
            if layer.numeric == "int8":
                attrs |= {"x_zero": x.zero_point, "y_zero": y.zero_point}
        build.call(f"eff_normalise_{layer.suffix}", [y], [x], attrs, layer)
        return y

    def calibrated_range(self, layer: Layer, low: float, high: float) -> tuple[float, float]:
        """From 0 to min(sqrt(n), 8): no value of a non-negative vector can exceed sqrt(n) times its root mean square."""
        widest = min(sqrt(prod(layer.shape)), WIDEST)
        return (-widest if low < 0 else 0.0), widest


def _rms(x: Array) -> Array:
    """The root mean square of each sample, (B, 1)."""
    flat = x.reshape(len(x), -1)
    squares = np.einsum("bn,bn->b", flat, flat)
    return np.asarray(np.sqrt(squares / np.asarray(flat.shape[1], x.dtype))[:, None])


def _slope(x: Array, v: Array, eps: float) -> Array:
    """The Jacobian at x times v; at x = 0, where it jumps, ``v / eps``."""
    flat, along, r = x.reshape(len(x), -1), v.reshape(len(x), -1), _rms(x)
    length = r + np.asarray(eps, x.dtype)
    share = np.mean(flat * along, axis=1, keepdims=True) / np.where(r > 0, r * length, 1)
    return ((along - flat * share) / length).reshape(x.shape)
