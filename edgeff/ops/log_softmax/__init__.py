"""The logarithm of the softmax over a vector of logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, Named, Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value


@operator
@dataclass(frozen=True, kw_only=True)
class LogSoftmax(Operator):
    """``y = x - max x - ln(sum(exp(x - max x)))`` over the last axis, for each place before it. float32 only."""

    name: ClassVar[str] = "log_softmax"
    summary: ClassVar[str] = "the logarithm of exp(x) / sum(exp(x))"
    keeps_places: ClassVar[bool] = True

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        below = xs[0] - xs[0].max(axis=-1, keepdims=True)
        return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        shares = np.exp(self.forward(layer, params, *xs))
        return (delta - shares * delta.sum(axis=-1, keepdims=True),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return np.asarray(dxs[0] - (np.exp(y) * dxs[0]).sum(axis=-1, keepdims=True))

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        if layer.numeric != "float32":
            step = "leave it out: the largest logit is the same class"
            raise Unsupported(f"layer {layer.name!r}, {self.name}", got=layer.numeric, allowed="float32", next_step=step)
        y = build.activation(layer.name, layer.shape, layer=layer.name)
        build.call("eff_log_softmax_f32", [y], [xs[0]], {"rows": prod(layer.shape[:-1]), "n": layer.shape[-1]}, layer)
        return y
