"""Rank-constrained filters over time (SVDF; Nakkiran et al. 2015): a dense layer that reads the last few inputs, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Array, Layer, Quant
from edgeff.kernels.records import LARGEST_FLOAT, Range, Requant, Zero
from edgeff.ops import Activated, Example, Shape, operator
from edgeff.ops.attributes import Count
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Svdf(Activated):
    """``y = activation(b + the sum of rank filters)``; a filter is ``time`` times the last ``memory`` products of ``features`` and x.

    params: ``features`` (units * rank, n_in), ``time`` (units * rank, memory), ``biases`` (units,). They are fixed: no rule trains them.
    The products live on from one inference to the next. int8: they are int8 or int16, as ``time`` is, in steps of ``state_scale`` around
    ``state_zero``; it is what TFLM computes, bit for bit.
    """

    name: ClassVar[str] = "svdf"
    summary: ClassVar[str] = "a dense layer over the last inputs, rank by rank, which it remembers"
    input_axes: ClassVar[int | None] = 1
    described: ClassVar[tuple[str, ...]] = ("rank", "state_scale", "state_zero")
    example: ClassVar[Example] = Example(attributes={"rank": 2}, inputs=(6,), output=(4,))
    rank: Count = 1
    state_scale: Annotated[float, Range(1e-30, LARGEST_FLOAT)] = 1.0
    state_zero: Zero = 0

    @property
    def remembers(self) -> bool:
        return True

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        if len(layer.shape) != 1:
            raise BadInput(f"layer {short(layer.name)}", got=f"shape {layer.shape}", allowed="(units,)")
        return layer.shape

    def initial(self, layer: Layer, inputs: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Array]:
        """Uniform numbers in +-1 over a memory of three inputs, biases zero."""
        filters = layer.shape[0] * self.rank
        shapes = {"features": (filters, inputs[0][0]), "time": (filters, 3)}
        params = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
        return params | {"biases": np.zeros(layer.shape[0], np.float32)}

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        memory = layer.params["time"].shape[-1] if "time" in layer.params else 0
        filters = layer.shape[0] * self.rank
        shapes = {"features": (filters, inputs[0][0]), "time": (filters, memory), "biases": layer.shape}
        kinds = (
            {"features": ("int8",), "time": ("int8", "int16"), "biases": ("int32",)} if quantised else dict.fromkeys(shapes, ("float32",))
        )
        for name in {*shapes, *layer.params}:
            array = layer.params.get(name)
            if array is None or name not in shapes or array.shape != shapes[name] or str(array.dtype) not in kinds[name]:
                got = "none" if array is None else f"{array.dtype} {array.shape}"
                allowed = f"{' or '.join(kinds[name])} {shapes[name]}" if name in shapes else f"{', '.join(shapes)}"
                raise BadInput(f"layer {short(layer.name)}, {name}", got=got, allowed=allowed)
            quant = layer.quant.get(name)
            if quant is not None and (len(quant.scale) != 1 or quant.zero_point):
                got = f"{len(quant.scale)} scales, zero point {quant.zero_point}"
                raise BadInput(f"layer {short(layer.name)}, {name}", got=got, allowed="one scale, zero point 0")

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return self.rank * layer.shape[0] * (x[-1] + layer.params["time"].shape[-1]) if layer.params else None

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        w, past, b = (layer.params[name].astype(x.dtype) for name in ("features", "time", "biases"))
        memory = past.shape[1]
        products = np.concatenate([np.zeros((memory - 1, len(w)), x.dtype), x @ w.T])
        filtered = sum(products[t : t + len(x)] * past[:, t] for t in range(memory))
        return self.function.apply(np.asarray(filtered).reshape(len(x), -1, self.rank).sum(axis=2) + b)

    def in_integers(self, layer: Layer, output: Quant) -> Layer:
        step = "quantise it with TensorFlow's converter, and import the .tflite file"
        raise Unsupported(f"quantising layer {short(layer.name)}", got=self.name, allowed="layers without a state", next_step=step)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        (x,), quant = xs, layer.quant.get("output")
        filters, memory = layer.params["time"].shape
        y = build.activation(layer.name, layer.shape, quant=quant, layer=layer.name)
        inputs = [x, *(build.parameter(layer, name) for name in ("features", "time", "biases"))]
        sizes = {"units": layer.shape[0], "rank": self.rank, "n_in": x.elements, "memory": memory}
        if quant is None:
            state = build.remembered(layer, "memory", (filters, memory))
            build.call("eff_svdf_f32", [y, state], inputs, sizes | build.relu(layer), layer)
            return y
        kind = str(layer.params["time"].dtype)
        state = build.remembered(layer, "memory", (filters, memory), Quant((self.state_scale,), self.state_zero, dtype=kind))
        self._check_sums(build, layer, kind)
        scales = {name: float(layer.quant[name].scale[0]) for name in ("features", "time")}
        what = f"requantisation of layer {layer.name!r}"
        numbers = {
            "feature": Requant(*build.fixed_point(x.scale * scales["features"] / self.state_scale, what)),
            "filter": Requant(*build.fixed_point(self.state_scale * scales["time"] / y.scale, what)),
        }
        zeros = {"x_zero": x.zero_point, "state_zero": self.state_zero, "y_zero": y.zero_point}
        build.call(
            f"eff_svdf_{'i8' if kind == 'int8' else 'i8x16'}", [y, state], inputs, sizes | numbers | zeros | build.ends(layer, y), layer
        )
        return y

    def _check_sums(self, build: OperatorBuilder, layer: Layer, kind: str) -> None:
        """Raises Unsupported where a sum could leave its accumulator, or a memory of int16 has a zero point."""
        build.at_most("int8", 32_768, layer.params["features"].shape[1], f"layer {layer.name!r}")
        if kind == "int16":
            if self.state_zero:
                raise Unsupported(f"the memory of layer {layer.name!r}", got=f"zero point {self.state_zero}", allowed="0 in int16")
            return
        sums = np.abs(layer.params["time"].astype(np.int64)).sum(axis=1).reshape(-1, self.rank).sum(axis=1)
        largest = int((np.abs(layer.params["biases"].astype(np.int64)) + 255 * sums).max())
        if largest >= 2**31:
            raise Unsupported(f"the biases of layer {layer.name!r}", got=f"sums up to {largest:,}", allowed="below 2**31")
