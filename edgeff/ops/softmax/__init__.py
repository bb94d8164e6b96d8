"""The softmax over a vector of logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import NUMERICS, Array, Layer, Numeric, Quant
from edgeff.ops import Arrays, Named, Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value

INTEGER_BITS = 5
LARGEST = 4095
SPAN = 10.0
"""Exponentials of less than -10 count as that of it in TFLite's int16 form."""


@operator
@dataclass(frozen=True, kw_only=True)
class Softmax(Operator):
    """Over the last axis, for each place before it. No parameters. Quantised, its output has a fixed scale: int8 1/256 and zero point -128
    (TFLite), int16 1/32768 and 0.
    """

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "exp(x) / sum(exp(x))"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
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
        if layer.numeric == "int16" and not build.symmetric:
            self._lower_chords(build, layer, x, y)
            return y
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

    def _lower_chords(self, build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> None:
        """TFLite's int16 form, where weights are int8."""
        *places, n = layer.shape
        build.at_most(x.dtype, LARGEST, n, f"softmax {layer.name!r}")
        multiplier, shift = build.fixed_point(x.scale / (SPAN / 65535.0), f"softmax {layer.name!r}")
        given = [build.constant(f"softmax.{name}", table) for name, table in tables().items()]
        attrs = {"rows": prod(places), "n": n, "multiplier": multiplier, "shift": shift}
        build.call("eff_softmax_chords_i16", [y], [x, *given], attrs, layer)

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        return Quant((1 / 256,), -128) if numeric == "int8" else Quant((1 / 32768,), 0, dtype="int16")


def chords(function: Callable[[Array], Array], span: float, zero: int, f: type[np.floating[Any]] = np.float32) -> Array:
    """A function of int16 inputs in steps of ``span`` / 65,535 from ``zero`` on, in Q0.15 at every 128th of them: int16 (513,).

    Between two entries it is their chord, for which an entry is lowered by half of the chord's error in the middle. Computed in
    ``f``, float32 in TFLM, float64 in LiteRT (LUTPopulate in tensorflow/lite/kernels/internal/common.h).
    """
    scale, output = f(span) / f(65535), f(2) / f(65535)
    low, high = scale * f(-32768 - zero), scale * f(32767 - zero)
    step, per_unit = (high - low) / f(512), f(65536) / (output * f(32767) - output * f(-32768))
    places = low + np.arange(513, dtype=f) * step
    value, middle = function(places) * per_unit, _nearest(function(places + step / f(2)) * per_unit)[:-1]
    error = _nearest((value[1:] + _nearest(value[:-1])) / f(2)) - middle
    entries = np.append(_nearest(value[:-1]) - _nearest(error / f(2)), _nearest(function(np.array([high])) * per_unit))
    return np.clip(entries, -32768, 32767).astype(np.int16)


def tables(f: type[np.floating[Any]] = np.float32) -> dict[str, Array]:
    """The chords of exponentials of -10 to 0, and those of 1 / (1 + v) for v of 0 to 1."""
    return {"powers": chords(np.exp, SPAN, 32767, f), "inverses": chords(lambda v: 1 / (1 + v), 1.0, -32768, f)}


def _nearest(v: Array) -> Array:
    """Rounded, ties away from zero."""
    return np.asarray(np.trunc(v + np.copysign(v.dtype.type(0.5), v)))


def _slope(y: Array, v: Array) -> Array:
    """``(diag(y) - y y^T) v``."""
    return y * (v - (y * v).sum(axis=-1, keepdims=True))
