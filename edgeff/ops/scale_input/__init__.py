"""Standardisation of a network's inputs by fixed numbers, ``y = (x - mean) factor``, one pair for each element of the last axis.

Measurements come in as a user has them (pascals beside degrees), float32 in every number format, and leave in the format of the network
after it: one int8 scale for all of them would keep none. It is the first layer; rules and calibration see the network after it
(``edgeff.ops.split_input``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Array, Layer, Network
from edgeff.ops import Arrays, Named, Operator, Shape, operator, prepend
from edgeff.ops.building import OperatorBuilder, Value


@operator
@dataclass(frozen=True, kw_only=True)
class ScaleInput(Operator):
    """params, each (C,) float32 for inputs (.., C): ``mean`` and ``factor``. They are fixed: no rule trains them."""

    name: ClassVar[str] = "scale_input"
    summary: ClassVar[str] = "(x - mean) factor of float inputs, fixed numbers for each channel"
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    reads: ClassVar[str] = "float32"

    def initial(self, layer: Layer, inputs: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Array]:
        """mean 0, factor 1."""
        channels = inputs[0][-1]
        return {"mean": np.zeros(channels, np.float32), "factor": np.ones(channels, np.float32)}

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        if layer.inputs != ("input",):
            raise BadInput(f"layer {short(layer.name)}", got=f"the output of {layer.inputs[0]}", allowed="the network's input")
        expected = dict.fromkeys(("mean", "factor"), ((inputs[0][-1],), "float32"))
        found = {name: (value.shape, str(value.dtype)) for name, value in layer.params.items()}
        if found != expected:
            raise BadInput(f"layer {short(layer.name)}, parameters", got=found, allowed=expected)

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        mean, factor = (layer.params[name].astype(x.dtype) for name in ("mean", "factor"))
        return np.asarray((x - mean) * factor)

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta * layer.params["factor"].astype(delta.dtype),)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return np.asarray(dxs[0] * layer.params["factor"].astype(dxs[0].dtype))

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        """In integers the float32 result is converted at once: the memory is that of the inputs."""
        (x,) = xs
        if x.dtype != self.reads:
            raise Unsupported(f"layer {layer.name!r}", got=f"a scale_input of {x.dtype}", allowed="float32: the network's input")
        n, channels, whole = prod(layer.shape), layer.shape[-1], layer.numeric == "float32"
        y = build.activation(layer.name if whole else f"{layer.name}.real", layer.shape, layer=layer.name)
        parameters = [build.constant(f"{layer.name}.{name}", layer.params[name], layer=layer.name) for name in ("mean", "factor")]
        build.call("eff_scale_input_f32", [y], [x, *parameters], {"rows": n // channels, "channels": channels}, layer)
        if whole:
            return y
        z = build.activation(layer.name, layer.shape, quant=layer.quant["output"], layer=layer.name)
        zero = {"y_zero": z.zero_point} if layer.numeric == "int8" else {}
        build.call(f"eff_convert_f32_{layer.suffix}", [z], [y], {"n": n, "y_scale": z.scale, **zero}, layer)
        return z


def standardising(x: Array, name: str = "standardise") -> Layer:
    """The layer that standardises inputs like x (n, .., C): less their mean, over their deviation; a channel that stands still by 1."""
    axes = tuple(range(x.ndim - 1))
    mean, deviation = x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
    still = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    factor = 1.0 / np.where(still, 1.0, deviation)
    params = {"mean": mean.astype(np.float32), "factor": factor.astype(np.float32)}
    return Layer(name, ScaleInput(), ("input",), x.shape[1:], params)


def after(layer: Layer, network: Network) -> Network:
    """``network`` after a ``standardising`` layer, whose name gets a number if the network has a layer of that name."""
    taken = {other.name for other in network}
    unique = next(name for name in (layer.name, *(f"{layer.name}_{i}" for i in range(2, len(taken) + 3))) if name not in taken)
    first = Layer(unique, layer.op, layer.inputs, layer.shape, layer.params)
    return prepend(first, network, layer.shape)
