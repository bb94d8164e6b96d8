"""A function of one variable at every element: activations that cannot be fused into the kernel before them.

The subclass gives the function and its derivative in float, and its int8 form as a table of 256 outputs: with the scales fixed
nothing is left to compute on the device, so any integer definition costs one load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Attr, Layer, Quant
from edgeff.kernels.arithmetic import multiplier_and_shift
from edgeff.kernels.chords import logistic_table, tripled
from edgeff.ops import Arrays, Named, Operator
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_learning_numeric, check_numeric

CHORDS_OUTPUT = Quant((1 / 32768,), 0, dtype="int16")
"""The output of a function by chords in int16."""
INPUTS = np.arange(-128, 128)
"""Every int8 input, in the order of a table's entries."""


@dataclass(frozen=True)
class Scales:
    """The quantisation of a table's input and output: scales as files hold them, which are float32 numbers, and zero points."""

    x: float
    x_zero: int
    y: float
    y_zero: int


@dataclass(frozen=True, kw_only=True)
class Elementwise(Operator):
    """``y = f(x)`` for each element. float32 runs ``eff_<name>_f32(y, x, n, ..)``, its derivative ``eff_<name>_slope_f32(d, delta, x, n,
    ..)``, which is ``d = delta * f'(x)``; int8 runs ``eff_lookup_i8`` on ``table``, int16 what ``lower_i16`` emits.
    """

    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    works_in_place: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        """f(x), in the dtype of x."""
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        """f'(x), in the dtype of x."""
        raise NotImplementedError

    def table(self, scales: Scales) -> Array:
        """The int8 outputs for ``INPUTS``, integers within -128 .. 127. Raises Unsupported, without a layer's name, for some scales."""
        raise NotImplementedError

    def lower_i16(self, build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> None:
        """Emits the int16 call."""
        raise NotImplementedError

    @property
    def numbers(self) -> dict[str, Attr]:
        """The arguments of the float32 kernels besides the element count."""
        return {}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return self.value(xs[0])

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta * self.slope(xs[0]),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return dxs[0] * self.slope(xs[0])

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        (x,), n = xs, prod(layer.shape)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        if layer.numeric == "float32":
            build.call(f"eff_{self.name}_f32", [y], [x], {"n": n, **self.numbers}, layer)
            return y
        if layer.numeric == "int16":
            self.lower_i16(build, layer, x, y)
            return y
        try:
            entries = self.table(Scales(float(np.float32(x.scale)), x.zero_point, float(np.float32(y.scale)), y.zero_point))
        except Unsupported as error:
            what = f"layer {layer.name!r}, {error.what}"
            raise Unsupported(what, got=error.got, allowed=error.allowed, next_step=error.next_step) from None
        table = build.constant(f"{layer.name}.table", entries.astype(np.int8), layer=layer.name)
        build.call("eff_lookup_i8", [y], [x, table], {"n": n}, layer)
        return y

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        return (self._lower_slope(build, layer, "gradient", delta, xs[0], "backward"),)

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        return self._lower_slope(build, layer, "tangent", only(dxs), xs[0], "tangent")

    def _lower_slope(self, build: OperatorBuilder, layer: Layer, name: str, delta: Value, x: Value, stage: str) -> Value:
        """Emits ``delta * f'(x)`` and returns its value; int8: the slopes of the 256 inputs as shares of the largest, in a table."""
        sizes: dict[str, Attr] = {"n": prod(layer.shape)}
        if layer.numeric == "float32":
            d = build.activation(name, x.shape, layer=layer.name)
            build.call(f"eff_{self.name}_slope_f32", [d], [delta, x], sizes | self.numbers, layer, stage)
            return d
        check_learning_numeric(layer, "the slope of")
        slopes = self.slope((INPUTS - x.zero_point) * x.scale)
        steepest = float(np.abs(slopes).max()) or 1.0
        table = build.constant(f"{layer.name}.slopes", np.rint(slopes / steepest * 32767).astype(np.int16), layer=layer.name)
        d = build.activation(name, x.shape, dtype="int16", scale=delta.scale * steepest * 32768 / 32767, layer=layer.name)
        build.call("eff_slope_i8", [d], [delta, x, table], sizes, layer, stage)
        return d


def rescaling(factor: float, largest_shift: int = 22) -> tuple[int, int]:
    """The multiplier and shift of a positive factor between two scales. Raises Unsupported if a number that is shifted left before it is
    multiplied would exceed 32 bits: an input of 9 bits by more than 22.
    """
    multiplier, shift = multiplier_and_shift(factor)
    if shift > largest_shift:
        raise Unsupported("rescaling", got=f"a factor of {factor:.3g}", allowed=f"below 2**{largest_shift}", next_step="calibrate again")
    return multiplier, shift


def lower_chords(build: OperatorBuilder, layer: Layer, x: Value, y: Value, largest_power: int) -> None:
    """Emits the int16 call of an operator by the table of chords (``kernels.chords``), whose output is in steps of 2**-15.

    Raises Unsupported for another scale of the output, and for inputs in steps that TFLite does not take.
    """
    try:
        multiplier, shift = tripled(x.scale, largest_power)
    except ValueError:
        raise Unsupported(f"layer {layer.name!r}, {layer.kind}", got=f"inputs in steps of {x.scale:g}", allowed="less than 2.66") from None
    if y.scale != CHORDS_OUTPUT.scale[0]:
        raise Unsupported(f"layer {layer.name!r}, {layer.kind}", got=f"outputs in steps of {y.scale:g}", allowed="1/32768")
    table = build.constant("logistic.chords", logistic_table())
    build.call(f"eff_{layer.kind}_i16", [y], [x, table], {"n": prod(layer.shape), "multiplier": multiplier, "shift": shift}, layer)


def logistic(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` as the gates of recurrent operators have it on the host, by the hyperbolic tangent."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))
