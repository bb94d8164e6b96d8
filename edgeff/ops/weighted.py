"""The common part of layers with a weight: the activation function of weight times input, plus a bias.

The product is linear in the weight and in the input, so the forward derivative is three products of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import Array, Layer
from edgeff.ops import Activated, Arrays, Named, OperatorT
from edgeff.ops.attributes import LEFT_OUT

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Weighted(Activated):
    """An operator whose params are ``weight`` and, with a bias, ``bias`` (C_out,) along the output's last axis.

    The attribute ``bias`` tells ``initial`` to make one; a layer with parameters has a bias if it is among them.
    """

    weighted: ClassVar[bool] = True
    least_weight: ClassVar[int] = -127
    """The least int8 weight beside int8 activations; sums of int16 ones leave room for -128."""
    bias: bool = field(default=False, metadata=LEFT_OUT)

    @property
    def initialised(self: OperatorT) -> OperatorT:
        return self.replacing(bias=False)

    def weight_shape(self, layer: Layer, x: Shape) -> Shape:
        """The shape of the weight for an input of shape ``x``."""
        raise NotImplementedError

    def initial(self, layer: Layer, inputs: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-sqrt(6 / fan_in))`` (He et al. 2015; the set-up of PEPITA), bias zero."""
        shape = self.weight_shape(layer, inputs[0])
        outputs = shape[self.weight_axis]
        limit = np.sqrt(6.0 / (prod(shape) // outputs))
        params: dict[str, Array] = {"weight": rng.uniform(-limit, limit, shape).astype(np.float32)}
        if self.bias:
            params["bias"] = np.zeros(outputs, np.float32)
        return params

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        """int8 weights are -127 to 127 (TFLite 8-bit specification), a bias is int32, or int64 beside int16 activations."""
        if not {"weight"} <= set(layer.params) <= {"weight", "bias"}:
            raise BadInput(f"layer {short(layer.name)}, parameters", got=sorted(layer.params), allowed="weight, and bias or none")
        shapes = {"weight": self.weight_shape(layer, inputs[0]), "bias": layer.shape[-1:]}
        sums = ("int32", "int64") if layer.numeric == "int16" else ("int32",)
        dtypes = {"weight": ("int8",), "bias": sums} if quantised else {"weight": ("float32",), "bias": ("float32",)}
        for key, array in layer.params.items():
            if array.shape != shapes[key] or str(array.dtype) not in dtypes[key]:
                got = f"{array.dtype} {array.shape}"
                raise BadInput(f"layer {short(layer.name)}, {key}", got=got, allowed=f"{' or '.join(dtypes[key])} {shapes[key]}")
        if quantised and layer.numeric == "int8" and int(layer.params["weight"].min()) < self.least_weight:
            allowed = "-127 to 127 (TFLite 8-bit specification)"
            raise BadInput(f"layer {short(layer.name)}, weight", got="the value -128", allowed=allowed)

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return layer.params["weight"].size

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        """weight times x (B, ...) in a new array (B, *shape)."""
        raise NotImplementedError

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        z = self.product(layer, params["weight"], xs[0])
        if "bias" in params:
            z += params["bias"]
        return self.function.apply(z)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        """``dy = (W dx + dW x + db) * activation'(z)``."""
        dz = self.product(layer, params["weight"], dxs[0])
        if "weight" in tangents:
            dz += self.product(layer, tangents["weight"], xs[0])
        if "bias" in tangents:
            dz += tangents["bias"]
        return self.gate(layer, dz, y)
