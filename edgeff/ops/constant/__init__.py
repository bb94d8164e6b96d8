"""Numbers that do not depend on the input, as a tensor that other layers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, short
from edgeff.ir import NUMERICS, Array, Layer, Numeric, Quant
from edgeff.ops import Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Constant(Operator):
    """The layer's parameter ``output``, of its shape: float32, or integers in the layer's own scale. It reads nothing and costs no call."""

    name: ClassVar[str] = "constant"
    summary: ClassVar[str] = "numbers that do not depend on the input"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    arity: ClassVar[int] = 0

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        dtype, array = layer.quant["output"].dtype if quantised and layer.quant else "float32", layer.params.get("output")
        if array is None or len(layer.params) > 1 or array.dtype != dtype or array.shape != layer.shape:
            got = {name: f"{value.dtype} {value.shape}" for name, value in layer.params.items()}
            raise BadInput(f"layer {short(layer.name)}, parameters", got=got, allowed=f"output, {dtype} {layer.shape}")

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        return layer.shape

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 0

    def initial(self, layer: Layer, inputs: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Array]:
        """The numbers that the layer has already, else normal ones."""
        return {**layer.params} or {"output": rng.normal(size=layer.shape).astype(np.float32)}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """(1, *shape): the same for every sample."""
        return layer.params["output"][None]

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        return (), {}

    def in_integers(self, layer: Layer, output: Quant) -> Layer:
        steps = np.rint(layer.params["output"].astype(np.float64) / output.scale[0]) + output.zero_point
        limits = np.iinfo(output.dtype)
        return replace(layer, params={"output": np.clip(steps, limits.min, limits.max).astype(output.dtype)})

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        return build.constant(f"{layer.name}.output", layer.params["output"], layer.quant.get("output"), layer.name)

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        return ()
