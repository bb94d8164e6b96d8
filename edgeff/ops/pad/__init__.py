"""A number around an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric, Quant
from edgeff.ops import Arrays, Example, Named, Operator, Shape, operator
from edgeff.ops.attributes import MAX_ELEMENTS, refusal
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric

MOST_AXES = 3


@operator
@dataclass(frozen=True, kw_only=True)
class Pad(Operator):
    """``value`` around the input: ``before`` and ``after`` hold the count for each axis without the batch, as text: "1,1,0".

    At most three axes. In integers the value is that of the nearest step in the input's scale.
    """

    name: ClassVar[str] = "pad"
    summary: ClassVar[str] = "a number around an activation"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_quant: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"before": "1,0", "after": "2,1"}, inputs=(9, 4))
    before: str
    after: str
    value: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("before", "after"):
            parts = getattr(self, name).split(",")
            numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 12 and str(int(part)) == part]
            if len(numbers) != len(self.before.split(",")) or len(parts) != len(numbers) or len(parts) > MOST_AXES:
                raise refusal(type(self), name, getattr(self, name), f"a whole number for each of at most {MOST_AXES} axes, with commas")
            if max(numbers) > MAX_ELEMENTS:
                raise refusal(type(self), name, getattr(self, name), f"numbers from 0 to {MAX_ELEMENTS}")

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """The counts (before, after) for each axis."""
        before, after = (map(int, text.split(",")) for text in (self.before, self.after))
        return tuple(zip(before, after, strict=True))

    def padded_elements(self, x: Shape) -> int:
        return prod(size + before + after for size, (before, after) in zip(x, self.sides, strict=False))

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        if len(self.sides) != len(inputs[0]):
            raise BadInput(f"layer {short(layer.name)}, before", got=self.before, allowed=f"the axes of {inputs[0]}")
        return tuple(size + before + after for size, (before, after) in zip(inputs[0], self.sides, strict=True))

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.pad(xs[0], ((0, 0), *self.sides), constant_values=self.value)

    def _inner(self, y: Array) -> Array:
        return y[(slice(None), *(slice(before, size - after) for size, (before, after) in zip(y.shape[1:], self.sides, strict=True)))]

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (np.ascontiguousarray(self._inner(delta)),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return np.pad(dxs[0], ((0, 0), *self.sides))

    def steps(self, scale: float, zero_point: int, dtype: str) -> int:
        """The value in an integer ``dtype``: the nearest step."""
        limits = np.iinfo(dtype)
        return int(np.clip(np.rint(self.value / scale) + zero_point, limits.min, limits.max))

    def in_integers(self, layer: Layer, output: Quant) -> Layer:
        """With the nearest number that its integers hold."""
        nearest = (self.steps(output.scale[0], output.zero_point, output.dtype) - output.zero_point) * output.scale[0]
        return replace(layer, op=self.replacing(value=nearest))

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        (x,) = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        missing = MOST_AXES - len(x.shape)
        attrs: dict[str, Attr] = {}
        for axis in range(MOST_AXES):
            size, sides = (1, (0, 0)) if axis < missing else (x.shape[axis - missing], self.sides[axis - missing])
            attrs |= {f"n{axis}": size, f"before{axis}": sides[0], f"after{axis}": sides[1]}
        value: float = float(np.float32(self.value))
        if layer.numeric != "float32":
            value = self.steps(x.scale, x.zero_point, x.dtype)
        build.call(f"eff_pad_{layer.suffix}", [y], [x], attrs | {"value": value}, layer)
        return y
