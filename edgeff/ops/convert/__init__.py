"""The same values in another number format, for networks whose layers differ in format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import NUMERICS, SUFFIX, Array, Attr, Layer, Network, Numeric, Quant
from edgeff.ops import Arrays, Named, Operator, further_inputs, kind, operator
from edgeff.ops.building import OperatorBuilder, Value


def converted(network: Network, numeric: Numeric, formats: Mapping[str, Numeric]) -> tuple[Network, dict[str, Numeric]]:
    """A float network with a ``convert`` layer wherever a layer reads a number format other than its own, and by name the formats of all
    layers that are not ``numeric``.

    The inputs are in ``numeric``; raw samples are converted by the layer that reads them. Raises BadInput for a format given to a layer
    that does not exist, Unsupported for another one given to an input.
    """
    names = {layer.name for layer in network}
    if unknown := sorted(set(formats) - names):
        raise BadInput("number formats", got=f"layer {unknown[0]!r}", allowed=", ".join(layer.name for layer in network))
    own: dict[str, Numeric] = {"input": numeric} | {layer.name: formats.get(layer.name, numeric) for layer in network}
    for layer in further_inputs(network):
        if own[layer.name] != numeric:
            step = "give the format to the layers that read it"
            raise Unsupported(f"input {layer.name!r}", got=own[layer.name], allowed=f"{numeric}, as the first input", next_step=step)
    shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in network}
    layers: list[Layer] = []
    known: dict[tuple[str, Numeric], str] = {}

    def stored(name: str, form: Numeric) -> str:
        """The name of the tensor that holds ``name`` in the number format ``form``."""
        if own[name] == form:
            return name
        if (name, form) not in known:
            candidates = (f"{name}_{form}{number}" for number in ("", *(f"_{i}" for i in range(2, len(names) + 3))))
            known[name, form] = new = next(candidate for candidate in candidates if candidate not in names)
            names.add(new)
            own[new] = form
            layers.append(Layer(new, Convert(), (name,), shapes[name]))
        return known[name, form]

    for layer in network:
        form = own[layer.name]
        inputs = layer.inputs if kind(layer).reads else tuple(stored(name, form) for name in layer.inputs)
        layers.append(replace(layer, inputs=inputs))
    return replace(network, layers=tuple(layers)), {name: form for name, form in own.items() if form != numeric}


@operator
@dataclass(frozen=True, kw_only=True)
class Convert(Operator):
    """The output's quantisation gives the format; without one it is float32. On the host it does nothing.

    int8 to int16 is exact in steps of 1/128, integers to float32 as exact as a float32 product; everything else rounds to nearest.
    """

    name: ClassVar[str] = "convert"
    summary: ClassVar[str] = "another number format"
    numerics: ClassVar[tuple[Numeric, ...]] = NUMERICS
    elementwise: ClassVar[bool] = True
    keeps_places: ClassVar[bool] = True
    works_in_place: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        return xs[0]

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        return (delta,)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        return dxs[0]

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        """int8 in steps of 1/128: int16 without a rounding."""
        if numeric == "int16" and below is not None and below.dtype == "int8":
            return Quant((below.scale[0] / 128,), 0, dtype="int16")
        return None

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        (x,) = xs
        if x.dtype == layer.numeric:
            return x
        y = build.activation(layer.name, layer.shape, quant=layer.quant.get("output"), layer=layer.name)
        attrs: dict[str, Attr] = {"n": prod(layer.shape)}
        if layer.numeric == "float32":
            attrs["x_scale"] = x.scale
        elif x.dtype == "float32":
            attrs["y_scale"] = y.scale
        if x.dtype == "int8":
            attrs["x_zero"] = x.zero_point
        if layer.numeric == "int8":
            attrs["y_zero"] = y.zero_point
        if (x.dtype, layer.numeric) == ("int8", "int16") and y.scale * 128 != x.scale:
            raise Unsupported(f"layer {layer.name!r}", got=f"int16 in steps of {y.scale:g}", allowed=f"1/128 of the int8 step, {x.scale:g}")
        if (x.dtype, layer.numeric) == ("int16", "int8"):
            attrs["multiplier"], attrs["shift"] = build.fixed_point(x.scale / y.scale, f"requantisation of layer {layer.name!r}")
        build.call(f"eff_convert_{SUFFIX[x.dtype]}_{layer.suffix}", [y], [x], attrs, layer)
        return y
