"""The input after the rows of earlier inputs: what a layer with a window over time reads where the time comes in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.ir import Array, Layer
from edgeff.ops import Operator, Shape, operator
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Recent(Operator):
    """The last ``kept`` rows of the inputs before this one, then this one: (kept + rows, ..) of an input (rows, ..).

    Rows lie along the first axis without the batch. The kept ones live on from one inference to the next, and are zero at first.
    """

    name: ClassVar[str] = "recent"
    summary: ClassVar[str] = "its input after the last rows of earlier ones, which it remembers"
    keeps_sign: ClassVar[bool] = True
    keeps_quant: ClassVar[bool] = True
    kept: Count

    @property
    def remembers(self) -> bool:
        return True

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return (self.kept + inputs[0][0], *inputs[0][1:])

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        rows = x.reshape(-1, *x.shape[2:])
        stream = np.concatenate([np.zeros((self.kept, *rows.shape[1:]), x.dtype), rows])
        first = x.shape[1] * np.arange(len(x))[:, None]
        return stream[first + np.arange(self.kept + x.shape[1])]

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        quant = layer.quant.get("output")
        y = build.activation(layer.name, layer.shape, quant=quant, layer=layer.name)
        memory = build.remembered(layer, "memory", (self.kept, *layer.shape[1:]), quant)
        build.call(f"eff_recent_{layer.suffix}", [y, memory], [xs[0]], {"kept": memory.elements, "n": xs[0].elements}, layer)
        return y
