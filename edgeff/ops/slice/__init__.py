"""A part of an activation: a run along each axis, in steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import NUMERICS, Array, Attr, Layer, Numeric
from edgeff.ops import Arrays, Example, Named, Operator, Shape, operator
from edgeff.ops.attributes import MAX_ELEMENTS, refusal
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric

MOST_AXES = 4


def listed(numbers: Sequence[int]) -> str:
    """Whole numbers as an attribute: "1,0,2"."""
    return ",".join(map(str, numbers))


def part(shape: Shape, begin: Shape, size: Shape, step: Shape) -> dict[str, Attr]:
    """The attributes of the slice kernels for an input of ``shape``, padded in front with axes of length 1 up to four."""
    missing = MOST_AXES - len(shape)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    sizes, steps = (1,) * missing + size, [0] * missing + [stride * by for stride, by in zip(strides, step, strict=True)]
    first = sum(at * stride for at, stride in zip(begin, strides, strict=True))
    named = {f"n{axis}": value for axis, value in enumerate(sizes)} | {f"s{axis}": value for axis, value in enumerate(steps)}
    return {**named, "first": first, "total": prod(shape)}


@operator
@dataclass(frozen=True, kw_only=True)
class Slice(Operator):
    """Along each axis without the batch the elements ``begin``, ``begin + step``, .. , ``size`` of them; each as text: "0,4,0".

    At most four axes; steps are 1 or more.
    """

    name: ClassVar[str] = "slice"
    summary: ClassVar[str] = "a part of an activation, in steps"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    keeps_sign: ClassVar[bool] = True
    keeps_quant: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"begin": "1,0", "size": "4,3", "step": "2,1"}, inputs=(9, 4))
    begin: str
    size: str
    step: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low in (("begin", 0), ("size", 1), ("step", 1)):
            parts = getattr(self, name).split(",")
            if len(parts) > MOST_AXES or len(parts) != len(self.begin.split(",")) or not all(map(_is_number, parts)):
                raise refusal(type(self), name, getattr(self, name), f"a whole number for each of at most {MOST_AXES} axes, with commas")
            if not all(low <= int(number) <= MAX_ELEMENTS for number in parts):
                raise refusal(type(self), name, getattr(self, name), f"numbers from {low} to {MAX_ELEMENTS}")

    @property
    def runs(self) -> tuple[Shape, Shape, Shape]:
        """``begin``, ``size`` and ``step`` as numbers."""
        begin, size, step = (tuple(map(int, text.split(","))) for text in (self.begin, self.size, self.step))
        return begin, size, step

    @property
    def slices(self) -> tuple[slice, ...]:
        """As NumPy takes them, the batch axis in front."""
        return (slice(None), *(slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(*self.runs, strict=True)))

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        begin, size, step = self.runs
        last = [b + (n - 1) * s for b, n, s in zip(begin, size, step, strict=True)]
        if len(last) != len(inputs[0]) or any(end >= whole for end, whole in zip(last, inputs[0], strict=True)):
            raise BadInput(f"layer {short(layer.name)}, slice", got=f"elements up to {last}", allowed=f"within {inputs[0]}")
        return size

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.ascontiguousarray(xs[0][self.slices])

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        gradient = np.zeros_like(xs[0])
        gradient[self.slices] = delta
        return (gradient,)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        build.call(f"eff_slice_{layer.suffix}", [y], [xs[0]], part(xs[0].shape, *self.runs), layer)
        return y


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12 and str(int(text)) == text
