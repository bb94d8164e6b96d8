"""Long short-term memory over a sequence (Hochreiter and Schmidhuber 1997, with forget gates): TFLite's UNIDIRECTIONAL_SEQUENCE_LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import Array, Layer, Parameters, Quant
from edgeff.kernels.chords import logistic_table
from edgeff.kernels.records import LARGEST_FLOAT, Range, Requant
from edgeff.ops import Example, Operator, Shape, operator
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.elementwise import logistic
from edgeff.ops.lstm.kernel import NO_CLIP
from edgeff.ops.numerics import check_numeric

GATES = ("input", "forget", "cell", "output")
GATE_SCALE, UNIT = 2.0**-12, 2.0**-15
"""The steps of the int8 gates before and after their functions, Q3.12 and Q0.15."""


@operator
@dataclass(frozen=True, kw_only=True)
class Lstm(Operator):
    """``c = f c + i tanh(g)``, ``h = o tanh(c)`` for each step of a sequence (steps, n_in); the output is every h, (steps, n_out).

    params, gates in the order input, forget, cell (g), output: ``input_weights`` (4, n_out, n_in), ``recurrent_weights`` (4, n_out,
    n_out), ``biases`` (4, n_out). They are fixed: no rule trains them. int8: weights have a scale for each gate, h that of the output, c
    is int16 in steps of ``2**cell_power``; it is what TFLM computes, bit for bit. ``clip`` limits c to +-clip, 0 does not. ``stateful``:
    h and c go on from the end of the last inference, else each begins at 0.
    """

    name: ClassVar[str] = "lstm"
    summary: ClassVar[str] = "long short-term memory over a sequence"
    input_axes: ClassVar[int | None] = 2
    described: ClassVar[tuple[str, ...]] = ("cell_power", "stateful")
    example: ClassVar[Example] = Example(inputs=(5, 3), output=(5, 4))
    clip: Annotated[float, Range(0.0, LARGEST_FLOAT)] = 0.0
    stateful: bool = False
    cell_power: Annotated[int, Range(-15, 0)] = -11

    @property
    def remembers(self) -> bool:
        return self.stateful

    def output_shape(self, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
        if len(layer.shape) != 2 or layer.shape[0] != inputs[0][0]:
            raise BadInput(f"layer {short(layer.name)}", got=f"shape {layer.shape}", allowed=f"({inputs[0][0]}, n_out)")
        return layer.shape

    def initial(self, layer: Layer, inputs: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Array]:
        """``W ~ U(+-1 / sqrt(n_out))`` as in PyTorch, biases alike."""
        n_out, n_in = layer.shape[-1], inputs[0][-1]
        shapes = {"input_weights": (4, n_out, n_in), "recurrent_weights": (4, n_out, n_out), "biases": (4, n_out)}
        return {name: (rng.uniform(-1, 1, shape) / np.sqrt(n_out)).astype(np.float32) for name, shape in shapes.items()}

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        n_out, n_in = layer.shape[-1], inputs[0][-1]
        weights, sums = ("int8", "int32") if quantised else ("float32", "float32")
        expected = {
            "input_weights": ((4, n_out, n_in), weights),
            "recurrent_weights": ((4, n_out, n_out), weights),
            "biases": ((4, n_out), sums),
        }
        found = {name: (value.shape, str(value.dtype)) for name, value in layer.params.items()}
        if found != expected:
            raise BadInput(f"layer {short(layer.name)}, parameters", got=found, allowed=expected)
        for name in expected:
            quant = layer.quant.get(name)
            if quantised and quant is not None and (quant.axis != 0 or len(quant.scale) != 4 or quant.zero_point):
                got = f"{len(quant.scale)} scales along axis {quant.axis}, zero point {quant.zero_point}"
                raise BadInput(f"layer {short(layer.name)}, {name}", got=got, allowed="a scale for each of the four gates, zero point 0")

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        return 4 * layer.shape[-1] * (x[-1] + layer.shape[-1])

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        (x,) = xs
        w, r, b = (layer.params[name].astype(x.dtype) for name in ("input_weights", "recurrent_weights", "biases"))
        if not self.stateful:
            return self._run(x, w, r, b)
        return self._run(x.reshape(1, -1, x.shape[-1]), w, r, b).reshape(len(x), *layer.shape)

    def _run(self, x: Array, w: Array, r: Array, b: Array) -> Array:
        """The hidden states (B, steps, n_out) of sequences x (B, steps, n_in), each from 0."""
        h = np.zeros((len(x), b.shape[1]), x.dtype)
        c, clip = h, self.clip or np.inf
        made = []
        for t in range(x.shape[1]):
            i, f, g, o = (x[:, t] @ w[gate].T + h @ r[gate].T + b[gate] for gate in range(4))
            c = np.clip(logistic(f) * c + logistic(i) * np.tanh(g), -clip, clip)
            h = logistic(o) * np.tanh(c)
            made.append(h)
        return np.stack(made, axis=1)

    def in_integers(self, layer: Layer, output: Quant) -> Layer:
        step = "quantise it with TensorFlow's converter, and import the .tflite file"
        raise Unsupported(f"quantising layer {short(layer.name)}", got=self.name, allowed="layers without a state", next_step=step)

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        check_numeric(layer)
        (x,), (steps, n_out), quant = xs, layer.shape, layer.quant.get("output")
        n_in, whole = x.shape[-1], layer.numeric == "int8"
        y = build.activation(layer.name, layer.shape, quant=quant, layer=layer.name)
        kinds = {"hidden": quant, "cell": Quant((2.0**self.cell_power,), 0, dtype="int16") if whole else None}
        if self.stateful:
            states = [build.remembered(layer, name, (n_out,), each) for name, each in kinds.items()]
        else:
            states = [build.activation(f"{layer.name}.{name}", (n_out,), quant=each, layer=layer.name) for name, each in kinds.items()]
        gates = build.activation(
            f"{layer.name}.gates", (4, n_out), dtype="int16" if whole else None, scale=UNIT if whole else None, layer=layer.name
        )
        inputs = [x, *(build.parameter(layer, name) for name in ("input_weights", "recurrent_weights", "biases"))]
        sizes: dict[str, int | float | Parameters] = {"steps": steps, "n_in": n_in, "n_out": n_out, "fresh": int(not self.stateful)}
        if not whole:
            numbers = sizes | {"clip": self.clip or LARGEST_FLOAT}
            build.call("eff_lstm_f32", [y, *states, gates], inputs, numbers, layer)
            return y
        _check_sums(build, layer, n_in, n_out)
        table = build.constant("lstm.logistic", logistic_table())
        build.call("eff_lstm_i8", [y, *states, gates], [*inputs, table], sizes | self._factors(build, layer, x, y), layer)
        return y

    def _factors(self, build: OperatorBuilder, layer: Layer, x: Value, y: Value) -> dict[str, int | float | Parameters]:
        """The numbers of the int8 kernel. Source: tensorflow/lite/micro/kernels/lstm_eval_common.cc."""
        what, cell = f"requantisation of layer {layer.name!r}", 2.0**self.cell_power
        reals = {"keep": UNIT, "add": UNIT * UNIT / cell, "make": UNIT * UNIT / y.scale}
        for gate, w, r in zip(GATES, layer.quant["input_weights"].scales(), layer.quant["recurrent_weights"].scales(), strict=True):
            reals |= {f"{gate}_x": x.scale * float(w) / GATE_SCALE, f"{gate}_h": y.scale * float(r) / GATE_SCALE}
        numbers: dict[str, int | float | Parameters] = {name: Requant(*build.fixed_point(real, what)) for name, real in reals.items()}
        clip = min(int(self.clip / cell), NO_CLIP - 1) if self.clip else NO_CLIP
        return numbers | {"x_zero": x.zero_point, "y_zero": y.zero_point, "cell_power": self.cell_power, "clip": clip}


def _check_sums(build: OperatorBuilder, layer: Layer, n_in: int, n_out: int) -> None:
    """Raises Unsupported where a sum of an int8 gate could leave 32 bits."""
    for terms in (n_in, n_out):
        build.at_most("int8", 32_768, terms, f"layer {layer.name!r}")
    w, b = (layer.params[name].astype(np.int64) for name in ("input_weights", "biases"))
    largest = int((np.abs(b) + 255 * np.abs(w).sum(axis=2)).max())
    if largest >= 2**31:
        raise Unsupported(f"the biases of layer {layer.name!r}", got=f"sums up to {largest:,}", allowed="below 2**31")
