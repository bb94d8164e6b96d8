"""The average of each window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, prod, sqrt
from typing import Any, ClassVar

import numpy as np

from edgeff.ir import NUMERICS, Array, Layer, Numeric
from edgeff.kernels.records import Window
from edgeff.kernels.windows import windows
from edgeff.ops import operator, pool_math
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.pool2d import Pool2d

MOST_TAPS = 65_536
"""Taps whose shares of a gradient can be summed in 32 bits."""


@operator
@dataclass(frozen=True, kw_only=True)
class AveragePool2d(Pool2d):
    """The mean of the taps inside the image."""

    name: ClassVar[str] = "average_pool2d"
    summary: ClassVar[str] = "the average of each window"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    kernel: ClassVar[str] = "eff_average_pool2d"
    pool: ClassVar[Callable[..., Array]] = staticmethod(pool_math.average_pool2d)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (pool_math.average_pool2d_gradient(delta, xs[0].shape, self.window, self.stride, self.pads),)

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """int8: the division by a window's taps is part of the gradient's scale, by those of the smallest window if the edge cuts some.

        A place in n windows receives n shares: the scale leaves room for sqrt(n) of the largest, which random signs seldom exceed.
        """
        if layer.numeric != "int8":
            return super().lower_input_gradients(build, layer, delta, *xs)
        geometry: dict[str, Any] = {**self.geometry(layer, xs[0].shape)}
        count = windows(np.ones(prod(xs[0].shape[:2]), np.int64), Window(**geometry)).sum(axis=(3, 4))
        shared = ceil(self.pool_h / self.stride_h) * ceil(self.pool_w / self.stride_w)
        taps = max(round(int(count.min()) / sqrt(shared)), 1)
        what = f"the gradient through the pool {layer.name!r}"
        build.at_most("int8", MOST_TAPS, taps if shared == 1 else taps * prod(self.window), what)
        d = build.activation("gradient", xs[0].shape, dtype="int16", scale=delta.scale / taps, layer=layer.name)
        build.call("eff_average_pool2d_input_gradient_i8", [d], [delta], geometry | {"taps": taps}, layer, "backward")
        return (d,)
