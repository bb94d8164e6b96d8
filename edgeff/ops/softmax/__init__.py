"""The softmax over a vector of logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Numeric, Quant
from edgeff.ops import Arrays, Named, Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value

INTEGER_BITS = 5
LARGEST = 4095


@operator
@dataclass(frozen=True, kw_only=True)
class Softmax(Operator):
    """Over the last axis, for each place before it. No parameters. Quantised, its output has a fixed scale: int8 1/256 and zero point -128
    (TFLite), int16 1/32768 and 0.
    """

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "exp(x) / sum(exp(x))"
    keeps_places: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0  # no products: cost tables state its cost

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        """The Jacobian ``diag(y) - y y^T`` is symmetric."""
        return (_slope(self.forward(layer, params, *xs), delta),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return _slope(y, dxs[0])

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        *places, n = layer.shape
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        attrs: dict[str, int] = {"n": n}
        if layer.numeric != "float32":
            build.at_most(x.dtype, LARGEST, n, f"softmax {layer.name!r}")
            multiplier, shift = build.fixed_point(min(x.scale * 2.0 ** (31 - INTEGER_BITS), 2.0**31 - 1), f"softmax {layer.name!r}")
            if shift < 0:
                raise Unsupported(f"softmax {layer.name!r}", got=f"logits in steps of {x.scale:.3g}", allowed="2**-27 or more")
            largest = (2**INTEGER_BITS - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0**shift
            attrs |= {"multiplier": multiplier, "shift": shift, "diff_min": -math.floor(largest)}
        if prod(places) == 1:
            build.call(f"eff_softmax_{layer.suffix}", [y], [x], attrs, layer)
        else:
            build.call(f"eff_softmax_rows_{layer.suffix}", [y], [x], {"rows": prod(places), **attrs}, layer)
        return y

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        return Quant((1 / 256,), -128) if numeric == "int8" else Quant((1 / 32768,), 0, dtype="int16")


def _slope(y: Array, v: Array) -> Array:
    """``(diag(y) - y y^T) v``."""
    return y * (v - (y * v).sum(axis=-1, keepdims=True))
