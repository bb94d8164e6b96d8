"""The axes in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.ops import Arrays, Example, Named, Operator, Shape, operator
from edgeff.ops.attributes import refusal
from edgeff.ops.building import OperatorBuilder, Value, only
from edgeff.ops.numerics import check_numeric

MOST_AXES = 3


def exchange(axes: Sequence[int], shape: Shape) -> dict[str, Attr]:
    """The attributes of the transpose kernels for an input of ``shape``, padded in front with axes of length 1 up to three."""
    missing = MOST_AXES - len(shape)
    sizes, order = (1,) * missing + tuple(shape), (*range(missing), *(axis + missing for axis in axes))
    return {**{f"d{i}": size for i, size in enumerate(sizes)}, **{f"p{i}": axis for i, axis in enumerate(order)}}


@operator
@dataclass(frozen=True, kw_only=True)
class Transpose(Operator):
    """``perm``: the input's axes, without the batch, in their new order, as text: "1,2,0". At most three axes."""

    name: ClassVar[str] = "transpose"
    summary: ClassVar[str] = "the axes in another order"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_sign: ClassVar[bool] = True
    keeps_quant: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"perm": "1,0"}, inputs=(9, 4))
    perm: str

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = self.perm.split(",")
        if len(parts) > MOST_AXES or sorted(parts) != [str(axis) for axis in range(len(parts))]:
            raise refusal(type(self), "perm", self.perm, f"at most {MOST_AXES} axes, each once, separated by commas")

    @property
    def axes(self) -> tuple[int, ...]:
        """``perm`` as numbers."""
        return tuple(int(part) for part in self.perm.split(","))

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        if len(self.axes) != len(inputs[0]):
            raise BadInput(f"layer {short(layer.name)}, perm", got=self.perm, allowed=f"the axes of {inputs[0]}")
        return tuple(inputs[0][axis] for axis in self.axes)

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.ascontiguousarray(xs[0].transpose(0, *(axis + 1 for axis in self.axes)))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta.transpose(0, *(int(place) + 1 for place in np.argsort(self.axes))),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        (x,) = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        build.call(f"eff_transpose_{layer.suffix}", [y], [x], exchange(self.axes, x.shape), layer)
        return y

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        """The same permutation; float32 only."""
        if layer.numeric != "float32":
            raise Unsupported(f"the tangent through layer {layer.name!r}, transpose", got=layer.numeric, allowed="float32")
        dy = build.activation("tangent", layer.shape, layer=layer.name)
        build.call("eff_transpose_f32", [dy], [only(dxs)], exchange(self.axes, xs[0].shape), layer, "tangent")
        return dy

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """The axes back in their old order; integers keep the scale of delta."""
        check_numeric(layer)
        back, float32 = [int(axis) for axis in np.argsort(self.axes)], layer.numeric == "float32"
        meaning: dict[str, Any] = {} if float32 else {"dtype": "int16", "scale": delta.scale}
        d = build.activation("gradient", xs[0].shape, layer=layer.name, **meaning)
        kernel = "eff_transpose_f32" if float32 else "eff_transpose_i16"
        build.call(kernel, [d], [replace(delta, shape=layer.shape)], exchange(back, layer.shape), layer, "backward")
        return (d,)
