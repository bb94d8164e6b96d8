"""A function of two variables at every place, of which either may be broadcast: the common part of sums, products and extremes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import Array, Attr, Layer, Parameters
from edgeff.kernels.broadcast import broadcast
from edgeff.ops import Arrays, Named, Operator, Shape
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric

COMMON_BITS, COMMON_BITS_I16 = 20, 15
"""The bits that both sides of a sum or difference get before they are brought to one scale (TFLite's ADD and SUB of int8 and int16)."""


def aligned(x: Array, rank: int) -> Array:
    """x (B, ..) with axes of length 1 after the batch, so that ``rank`` axes follow it."""
    return x.reshape(len(x), *(1,) * (rank + 1 - x.ndim), *x.shape[1:])


def summed(gradient: Array, shape: Shape) -> Array:
    """A gradient (B, ..) of a broadcast tensor as that of the tensor (B, *shape): summed over the places that one element serves."""
    missing = gradient.ndim - 1 - len(shape)
    axes = (*range(1, missing + 1), *(missing + axis for axis, size in enumerate(shape, 1) if size == 1))
    return np.asarray(gradient.sum(axis=axes).reshape(len(gradient), *shape))


@dataclass(frozen=True, kw_only=True)
class Pairwise(Operator):
    """``y = f(a, c)`` for each place, after NumPy's rules of broadcasting without the batch axis.

    float32 runs ``eff_<name>_f32(y, a, c, how, ..)``, integers what the subclass lowers to (``lower_integers``).
    """

    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    arity: ClassVar[int] = 2

    def value(self, a: Array, c: Array) -> Array:
        """f(a, c) of two arrays that broadcast, before the activation function."""
        raise NotImplementedError

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        """df / da and df / dc."""
        raise NotImplementedError

    def lower_integers(
        self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]
    ) -> None:
        """Emits the call in integers; ``how`` is the broadcast."""
        raise NotImplementedError

    def check_inputs(self, layer: Layer, inputs: tuple[Shape, ...]) -> None:
        if len(inputs) != self.arity:
            raise BadInput(f"layer {short(layer.name)}", got=f"{len(inputs)} inputs", allowed=self.arity)
        self.output_shape(layer, inputs)

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        try:
            return tuple(int(size) for size in np.broadcast_shapes(*inputs))
        except ValueError:
            got = f"inputs of shape {', '.join(map(str, inputs))}"
            raise BadInput(f"layer {short(layer.name)}", got=got, allowed="shapes that broadcast") from None

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return layer.shape[-1]

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        a, c = (aligned(x, len(layer.shape)) for x in xs)
        return self.function.apply(np.array(self.value(a, c)))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        a, c = (aligned(x, len(layer.shape)) for x in xs)
        return tuple(summed(delta * slope, x.shape[1:]) for slope, x in zip(self.slopes(a, c), xs, strict=True))

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        a, c, da, dc = (aligned(x, len(layer.shape)) for x in (*xs, *dxs))
        by_a, by_c = self.slopes(a, c)
        return self.gate(layer, np.asarray(da * by_a + dc * by_c), y)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        a, c = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        how = {"how": broadcast(a.shape, c.shape)}
        if layer.numeric == "float32":
            build.call(f"eff_{self.name}_f32", [y], [a, c], {**how, **self.numbers(build, layer)}, layer)
        else:
            self.lower_integers(build, layer, y, (a, c), how)
        return y

    def numbers(self, build: OperatorBuilder, layer: Layer) -> dict[str, Attr]:
        """The arguments of the float32 kernel besides the broadcast."""
        return build.relu(layer)


@dataclass(frozen=True, kw_only=True)
class OneOfBoth(Pairwise):
    """``y`` is a or c, which one ``first`` says. Its kernels take the broadcast alone; integers have one scale on both sides and after."""

    one_scale: ClassVar[bool] = True

    def first(self, a: Array, c: Array) -> Array:
        """Where a is taken, bool."""
        raise NotImplementedError

    def value(self, a: Array, c: Array) -> Array:
        return np.asarray(np.where(self.first(a, c), a, c))

    def slopes(self, a: Array, c: Array) -> tuple[Array | float, Array | float]:
        taken = np.asarray(self.first(a, c), a.dtype)
        return taken, 1 - taken

    def numbers(self, build: OperatorBuilder, layer: Layer) -> dict[str, Attr]:
        return {}

    def lower_integers(
        self, build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value], how: Mapping[str, Parameters]
    ) -> None:
        build.call(f"eff_{self.name}_{layer.suffix}", [y], [*sides], how, layer)


def in_common_scale(build: OperatorBuilder, layer: Layer, y: Value, sides: tuple[Value, Value]) -> dict[str, Attr]:
    """The numbers of a sum or difference in integers: both sides are brought to twice the larger input scale with 20 more bits, in int16
    with 15 (TFLite).
    """
    a, c = sides
    attrs: dict[str, Attr] = build.ends(layer, y)
    common, what = 2.0 * max(a.scale, c.scale), f"requantisation of layer {layer.name!r}"
    for side, value in (("a", a), ("c", c)):
        attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = build.fixed_point(value.scale / common, what)
        attrs[f"{side}_zero"] = value.zero_point
    if layer.numeric == "int8":
        attrs["y_zero"] = y.zero_point
    bits = COMMON_BITS if layer.numeric == "int8" else COMMON_BITS_I16
    attrs["multiplier"], attrs["shift"] = build.fixed_point(common / (2.0**bits * y.scale), what)
    return attrs
