"""Standardisation of a sample over all its elements: what stands before every layer of a self-contrastive Forward-Forward network."""

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

EPS = 1e-5
MOST = 32_768


@operator
@dataclass(frozen=True, kw_only=True)
class Standardise(Operator):
    """``y = (x - mean(x)) / sqrt(variance(x) + eps)``, over the whole sample: ONNX's LayerNormalization without parameters.

    It serves layer-local rules. A constant input gives zeros. Its derivative is symmetric, so one formula carries errors and tangents.
    """

    name: ClassVar[str] = "standardise"
    summary: ClassVar[str] = "(x - mean) / deviation over a sample"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_places: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"eps": EPS})
    eps: Epsilon

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        flat = x.reshape(len(x), -1)
        centred = flat - flat.mean(axis=1, keepdims=True)
        variance = np.einsum("bn,bn->b", centred, centred) / np.asarray(centred.shape[1], x.dtype)
        centred /= np.sqrt(variance + np.asarray(self.eps, x.dtype))[:, None]
        return centred.reshape(x.shape)

    def _derivative(self, v: Array, x: Array) -> Array:
        """``(v - mean(v) - y mean(y v)) / sqrt(variance + eps)``, in x's shape."""
        flat, v = x.reshape(len(x), -1), v.reshape(len(x), -1)
        deviation = np.sqrt(flat.var(axis=1, keepdims=True) + np.asarray(self.eps, x.dtype))
        y = (flat - flat.mean(axis=1, keepdims=True)) / deviation
        through = v - v.mean(axis=1, keepdims=True) - y * np.mean(y * v, axis=1, keepdims=True)
        return np.asarray(through / deviation).reshape(x.shape)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (self._derivative(delta, xs[0]),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self._derivative(dxs[0], xs[0])

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        n = prod(layer.shape)
        build.at_most(x.dtype, MOST, n, f"layer {layer.name!r}")
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if layer.numeric == "float32":
            attrs: dict[str, Any] = {"n": n, "eps": self.eps}
        else:
            check_small_eps(layer, x, self.eps, 2)
            if layer.numeric == "int8" and y.scale <= 2.0**-7:
                raise Unsupported(f"layer {layer.name!r} in int8", got=f"outputs in steps of {y.scale:.3g}", allowed="above 2**-7")
            attrs = {"n": n, "gain": round(2.0 ** (24 if layer.numeric == "int8" else 16) / y.scale)}
            if layer.numeric == "int8":
                attrs["y_zero"] = y.zero_point
        build.call(f"eff_standardise_{layer.suffix}", [y], [x], attrs, layer)
        return y

    def calibrated_range(self, layer: Layer, low: float, high: float) -> tuple[float, float]:
        """Twice the observed one, for what is standardised learns and becomes sparser; at least +-2, and no value exceeds sqrt(n)."""
        widest = sqrt(prod(layer.shape))
        return -min(max(-2.0 * low, 2.0), widest), min(max(2.0 * high, 2.0), widest)
