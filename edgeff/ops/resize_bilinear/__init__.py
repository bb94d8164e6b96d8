"""An image in another size, each pixel between the nearest four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, Example, Named, Operator, Shape, operator
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric

MOST_PIXELS = 1 << 15
"""Along either axis: positions in int8 have 10 bits below the point."""


@operator
@dataclass(frozen=True, kw_only=True)
class ResizeBilinear(Operator):
    """(H, W, C) -> (height, width, C), bilinear. Pixel i of ``height`` lies at ``i H / height``; with ``half_pixel`` centres at
    ``(i + 1/2) H / height - 1/2``; with ``align_corners`` at ``i (H - 1) / (height - 1)``. int8: what TFLM computes, bit for bit.
    """

    name: ClassVar[str] = "resize_bilinear"
    summary: ClassVar[str] = "an image in another size, each pixel between four"
    input_axes: ClassVar[int | None] = 3
    keeps_quant: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    channelwise: ClassVar[bool] = True
    example: ClassVar[Example] = Example(attributes={"height": 11, "width": 5, "half_pixel": True})
    height: Count
    width: Count
    half_pixel: bool = False
    align_corners: bool = False

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return (self.height, self.width, inputs[0][2])

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 4

    def _weights(self, size: int, made: int, dtype: Any) -> Array:
        """How much of each of ``size`` pixels is in each of ``made``, (made, size)."""
        at = np.arange(made) * (size / made)
        if self.align_corners and made > 1:
            at = np.arange(made) * ((size - 1) / (made - 1))
        elif self.half_pixel:
            at = (np.arange(made) + 0.5) * (size / made) - 0.5
        low = np.maximum(np.floor(at).astype(int), 0)
        high = np.minimum(np.ceil(at).astype(int), size - 1)
        weights = np.zeros((made, size), dtype)
        rows = np.arange(made)
        np.add.at(weights, (rows, low), 1 - (at - low))
        np.add.at(weights, (rows, high), at - low)
        return weights

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        down, across = (self._weights(size, made, x.dtype) for size, made in zip(x.shape[1:3], (self.height, self.width), strict=True))
        return np.asarray(np.einsum("ai,bj,nijc->nabc", down, across, x, optimize=True))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        sizes = zip(xs[0].shape[1:3], (self.height, self.width), strict=True)
        down, across = (self._weights(size, made, delta.dtype) for size, made in sizes)
        return (np.asarray(np.einsum("ai,bj,nabc->nijc", down, across, delta, optimize=True)),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return self.forward(layer, params, *dxs)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        height, width, channels = xs[0].shape
        if max(height, width, self.height, self.width) > MOST_PIXELS:
            got = f"{height} x {width} to {self.height} x {self.width} pixels"
            raise Unsupported(f"layer {layer.name!r}", got=got, allowed=f"at most {MOST_PIXELS} along an axis")
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        flags = {"half_pixel": int(self.half_pixel), "align_corners": int(self.align_corners)}
        sizes = {"in_h": height, "in_w": width, "channels": channels, "out_h": self.height, "out_w": self.width}
        build.call(f"eff_resize_bilinear_{layer.suffix}", [y], [xs[0]], sizes | flags, layer)
        return y
