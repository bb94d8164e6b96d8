"""Activations one after the other along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import NUMERICS, SUFFIX, Array, Layer, Numeric
from edgeff.ops import Arrays, Named, Operator, Shape, operator
from edgeff.ops.attributes import Padding
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric
from edgeff.ops.slice import part


@operator
@dataclass(frozen=True, kw_only=True)
class Concat(Operator):
    """Its inputs, two or more, joined along ``axis`` (0: the first after the batch). In int8 all have the output's scale, as in TFLM."""

    name: ClassVar[str] = "concat"
    summary: ClassVar[str] = "activations one after the other along an axis"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    arity: ClassVar[int] = 2
    one_scale: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    axis: Padding = 0

    def check_inputs(self, layer: Layer, inputs: tuple[Shape, ...]) -> None:
        if len(inputs) < 2:
            raise BadInput(f"layer {short(layer.name)}", got=f"{len(inputs)} inputs", allowed="two or more")
        self.output_shape(layer, inputs)

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        rest = {shape[: self.axis] + shape[self.axis + 1 :] for shape in inputs}
        if len(rest) > 1 or len({len(shape) for shape in inputs}) > 1 or self.axis >= len(inputs[0]):
            got = f"inputs of shape {', '.join(map(str, inputs))} along axis {self.axis}"
            raise BadInput(f"layer {short(layer.name)}", got=got, allowed="shapes that differ in that axis alone")
        first = inputs[0]
        return (*first[: self.axis], sum(shape[self.axis] for shape in inputs), *first[self.axis + 1 :])

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return np.concatenate(xs, axis=self.axis + 1)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        ends = np.cumsum([x.shape[self.axis + 1] for x in xs])[:-1]
        return tuple(np.split(delta, ends, axis=self.axis + 1))

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        """Two at a time: the first two, then that and the third, and so on."""
        check_numeric(layer)
        y, rows = xs[0], prod(layer.shape[: self.axis])
        for x in xs[1:]:
            attrs = {"rows": rows, "a_n": y.elements // rows, "c_n": x.elements // rows}
            shape = (*layer.shape[: self.axis], y.shape[self.axis] + x.shape[self.axis], *layer.shape[self.axis + 1 :])
            joined = build.activation(layer.name, shape, quant=layer.quant.get("output"), layer=layer.name if x is xs[-1] else "")
            build.call(f"eff_concat_{layer.suffix}", [joined], [y, x], attrs, layer)
            y = joined
        return y

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """Of each input its part of delta, in delta's scale."""
        kernel, parts, start = f"eff_slice_{SUFFIX[delta.dtype]}", list[Value](), 0
        for x in xs:
            scale = None if delta.dtype == "float32" else delta.scale
            here = build.activation("gradient", x.shape, dtype=delta.dtype, scale=scale, layer=layer.name)
            begin = tuple(start if axis == self.axis else 0 for axis in range(len(x.shape)))
            build.call(kernel, [here], [delta], part(layer.shape, begin, x.shape, (1,) * len(x.shape)), layer, "backward")
            parts.append(here)
            start += x.shape[self.axis]
        return tuple(parts)
