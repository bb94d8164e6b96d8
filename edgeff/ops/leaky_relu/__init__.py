"""The leaky ReLU: x above zero, ``alpha x`` below; int8 as TFLite's LEAKY_RELU."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.kernels.arithmetic import Int, requantise
from edgeff.ops import operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.elementwise import INPUTS, Elementwise, Scales, rescaling
from edgeff.ops.leaky_relu.kernel import BothSides


@operator
@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Elementwise):
    """``y = x`` for x > 0, else ``alpha x``; ``alpha`` may be any number. int8: what TFLM's LEAKY_RELU gives, bit for bit."""

    name: ClassVar[str] = "leaky_relu"
    summary: ClassVar[str] = "x above zero, alpha times x below"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_sign: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True
    alpha: float = 0.01

    @property
    def numbers(self) -> dict[str, Attr]:
        return {"alpha": float(np.float32(self.alpha))}

    def value(self, x: Array) -> Array:
        return np.asarray(np.where(x > 0, x, x * x.dtype.type(self.alpha)))

    def slope(self, x: Array) -> Array:
        return np.asarray(np.where(x > 0, x.dtype.type(1), x.dtype.type(self.alpha)))

    def lower_i16(self, build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> None:
        what, ratio = f"requantisation of layer {layer.name!r}", x.scale / y.scale
        below = ratio * float(np.float32(self.alpha))
        multiplier, shift = build.fixed_point(ratio, what)
        below_multiplier, below_shift = build.fixed_point(abs(below), what)
        sides = BothSides(multiplier, shift, below_multiplier, below_shift, int(below < 0))
        build.call("eff_leaky_relu_i16", [y], [x], {"n": prod(layer.shape), "sides": sides}, layer)

    def table(self, scales: Scales) -> Array:
        """Each side of zero is brought to the output's scale by its own factor."""
        q, ratio = INPUTS - scales.x_zero, scales.x / scales.y
        made = np.where(q >= 0, _rescaled(q, ratio), _rescaled(q, ratio * float(np.float32(self.alpha))))
        return np.clip(made + scales.y_zero, -128, 127)


def _rescaled(q: Array, factor: float) -> Int:
    """``q`` times ``factor`` by TFLite's double rounding; a negative factor flips the sign of the result, so its ties go the other way.

    Established with tflite-micro 0.dev20261023, whose factors are quotients in float64 (older sources: float32). Where a negative factor
    rounds to a power of two it loses the sign; edgeff does not. Raises Unsupported if the product would exceed 32 bits.
    """
    scaled = requantise(q, *rescaling(abs(factor)))
    return -scaled if factor < 0 else scaled
