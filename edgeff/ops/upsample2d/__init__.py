"""An image in more pixels: each repeated, or zeros between them, which makes a convolution after it a transposed one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.ops import Arrays, Example, Named, Operator, Shape, operator
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Upsample2d(Operator):
    """Each pixel of (H, W, C) repeated ``factor_h`` times down and ``factor_w`` across, (H factor_h, W factor_w, C); or with ``zeros``
    each once and zeros up to the next one, ((H - 1) factor_h + 1, ..).
    """

    name: ClassVar[str] = "upsample2d"
    summary: ClassVar[str] = "pixels repeated, or zeros between them"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    input_axes: ClassVar[int | None] = 3
    keeps_quant: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    channelwise: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"factor_h": 2, "factor_w": 3})
    factor_h: Count
    factor_w: Count
    zeros: bool = False

    def padded_elements(self, x: Shape) -> int:
        return prod(x) * self.factor_h * self.factor_w

    def _lengths(self, x: Shape) -> tuple[int, int]:
        last = (1, 1) if self.zeros else (self.factor_h, self.factor_w)
        return (x[0] - 1) * self.factor_h + last[0], (x[1] - 1) * self.factor_w + last[1]

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return (*self._lengths(inputs[0]), inputs[0][2])

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        if not self.zeros:
            return x.repeat(self.factor_h, axis=1).repeat(self.factor_w, axis=2)
        y = np.zeros((len(x), *self._lengths(x.shape[1:]), x.shape[3]), x.dtype)
        y[:, :: self.factor_h, :: self.factor_w] = x
        return y

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        if self.zeros:
            return (np.ascontiguousarray(delta[:, :: self.factor_h, :: self.factor_w]),)
        batch, height, width, channels = xs[0].shape
        blocks = delta.reshape(batch, height, self.factor_h, width, self.factor_w, channels)
        return (np.asarray(blocks.sum(axis=(2, 4))),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, dxs[0])

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        (x,) = xs
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        sizes = dict(zip(("in_h", "in_w", "channels"), x.shape, strict=True))
        how = sizes | {"factor_h": self.factor_h, "factor_w": self.factor_w, "zeros": int(self.zeros)}
        build.call(f"eff_upsample2d_{layer.suffix}", [y], [x], how | {"value": x.zero_point if layer.quant else 0.0}, layer)
        return y
