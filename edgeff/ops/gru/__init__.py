"""A gated recurrent unit over a sequence (Cho et al. 2014; with the reset after the product, as cuDNN, PyTorch and Keras have it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Array, Layer, Parameters, Quant
from edgeff.ops import Example, Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.elementwise import logistic
from edgeff.ops.numerics import check_numeric


@operator
@dataclass(frozen=True, kw_only=True)
class Gru(Operator):
    """``h = z h + (1 - z) tanh(u + r v)`` for each step of a sequence (steps, n_in), from 0 on; the output is every h, (steps, n_out).

    params, gates in the order update (z), reset (r), candidate: ``input_weights`` (3, n_out, n_in), ``recurrent_weights`` (3, n_out,
    n_out), ``biases`` (4, n_out): of z, r, u (the candidate over the input) and v (over h). They are fixed: no rule trains them. float32.
    ``reset_after`` False: v is over r h, and not multiplied.
    """

    name: ClassVar[str] = "gru"
    summary: ClassVar[str] = "gated recurrent unit over a sequence"
    input_axes: ClassVar[int | None] = 2
    example: ClassVar[Example] = Example(inputs=(5, 3), output=(5, 4))
    reset_after: bool = True

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        if len(layer.shape) != 2 or layer.shape[0] != inputs[0][0]:
            raise BadInput(f"layer {short(layer.name)}", got=f"shape {layer.shape}", allowed=f"({inputs[0][0]}, n_out)")
        return layer.shape

    def _shapes(self, layer: Layer, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
        n_out, n_in = layer.shape[-1], inputs[0][-1]
        return {"input_weights": (3, n_out, n_in), "recurrent_weights": (3, n_out, n_out), "biases": (4, n_out)}

    def initial(self, layer: Layer, inputs: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-1 / sqrt(n_out))`` as in PyTorch, biases alike."""
        shapes, width = self._shapes(layer, inputs), np.sqrt(layer.shape[-1])
        return {name: (rng.uniform(-1, 1, shape) / width).astype(np.float32) for name, shape in shapes.items()}

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        if quantised:
            raise Unsupported(f"layer {short(layer.name)}", got="an int8 gru", allowed="float32")
        expected = {name: (shape, "float32") for name, shape in self._shapes(layer, inputs).items()}
        found = {name: (value.shape, str(value.dtype)) for name, value in layer.params.items()}
        if found != expected:
            raise BadInput(f"layer {short(layer.name)}, parameters", got=found, allowed=expected)

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 3 * layer.shape[-1] * (x[-1] + layer.shape[-1])

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        w, r, b = (layer.params[name].astype(x.dtype) for name in ("input_weights", "recurrent_weights", "biases"))
        h = np.zeros((len(x), layer.shape[-1]), x.dtype)
        made = []
        for t in range(x.shape[1]):
            z, reset = (logistic(x[:, t] @ w[gate].T + h @ r[gate].T + b[gate]) for gate in range(2))
            of_state = (h if self.reset_after else reset * h) @ r[2].T + b[3]
            candidate = np.tanh(x[:, t] @ w[2].T + b[2] + (reset * of_state if self.reset_after else of_state))
            h = z * h + (1 - z) * candidate
            made.append(h)
        return np.stack(made, axis=1)

    def in_integers(self, layer: Layer, output: Quant) -> Layer:
        raise Unsupported(
            f"quantising layer {short(layer.name)}", got=self.name, allowed="layers without a state", next_step="keep it in float32"
        )

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        if layer.numeric != "float32":
            raise Unsupported(f"layer {layer.name!r}", got=f"a gru in {layer.numeric}", allowed="float32")
        (x,), (steps, n_out) = xs, layer.shape
        y = build.activation(layer.name, layer.shape, layer=layer.name)
        hidden = build.activation(f"{layer.name}.hidden", (n_out,), layer=layer.name)
        gates = build.activation(f"{layer.name}.gates", (3, n_out), layer=layer.name)
        inputs = [x, *(build.parameter(layer, name) for name in ("input_weights", "recurrent_weights", "biases"))]
        numbers: dict[str, int | float | Parameters] = {"steps": steps, "n_in": x.shape[-1], "n_out": n_out}
        build.call("eff_gru_f32", [y, hidden, gates], inputs, numbers | {"reset_after": int(self.reset_after)}, layer)
        return y
