"""Long short-term memory in TFLite: UNIDIRECTIONAL_SEQUENCE_LSTM.

Its variables h and c live on from one inference to the next in TFLite too, which Keras does not mean where it gives a layer a whole
sequence: a layer of one step goes on, one of more steps begins at 0 each time (docs/adr/0050).
"""

from __future__ import annotations

from math import frexp
from typing import Any, cast

import numpy as np

from edgeff.errors import Unsupported, short
from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, dequantised, fused_option, only_fused
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Remembered, Value
from edgeff.ir import Layer, Quant
from edgeff.ops import kind
from edgeff.ops.lstm import GATES, Lstm

VARIANTS = {1: "coupled gates", 9: "peepholes", 10: "peepholes", 11: "peepholes", 16: "a projection", 20: "layer normalisation"}
PARAMETERS = {"input_weights": 1, "recurrent_weights": 5, "biases": 12}
"""The first of the four inputs (of the gates input, forget, cell, output) that hold a parameter."""


def _lstm(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    only_fused(node, "TANH")
    for place, what in VARIANTS.items():
        if (values[place] is None) == (place == 1):
            raise node.unsupported(f"an LSTM with {what}", "four gates, no peepholes, projection or normalisation")
    x = assembly.exact(node, node.activation(values[0]))
    if node.attributes.get("time_major") or len(x.shape or ()) != 2:
        raise node.unsupported(f"an input of {x.shape}, without the batch axis, time major or not a sequence", "(steps, n_in)")
    steps, n_in = x.shape or (0, 0)
    parts = {name: _gates(assembly, node, x, values[first : first + 4]) for name, first in PARAMETERS.items()}
    n_out = parts["biases"][0].array.size
    shapes = {"input_weights": (n_out, n_in), "recurrent_weights": (n_out, n_out), "biases": (n_out,)}
    for name, (array, *_) in ((name, [part.array for part in each]) for name, each in parts.items()):
        if any(part.array.shape != shapes[name] for part in parts[name]):
            raise node.bad(f"{name.replace('_', ' ')} of {array.shape}", f"{shapes[name]} for each gate")
    power = _states(node, x, values, n_out)
    clip = float(node.attributes.get("cell_clip", 0.0))
    op = node.record(Lstm, clip=clip, stateful=steps == 1, cell_power=power)
    draft = assembly.draft(node.name, op, (x,), (steps, n_out))
    for name, each in parts.items():
        assembly.charge(sum(part.array.nbytes for part in each))
        draft.params[name] = np.stack([part.array for part in each])
        scales = [part.quant.scale[0] for part in each if part.quant is not None]
        if scales:
            draft.quant[name] = Quant(tuple(scales), 0, 0, "int32" if name == "biases" else "int8")
    return Activation(draft.name, draft.shape)


def _gates(assembly: Assembly, node: TfliteNode, x: Activation, values: Values) -> list[Constant]:
    """A parameter of the four gates: float32, or integers with one scale each."""
    constants = [node.constant(value, "parameter of a gate") for value in values]
    if x.quant is None:
        hybrid = [dequantised(assembly, node, value) if value.array.dtype == np.int8 else Constant(value.array) for value in constants]
        if any(value.array.dtype != np.float32 for value in hybrid):
            raise node.unsupported(f"gates of {hybrid[0].array.dtype} on a float input", "float32, or int8 with scales")
        return hybrid
    for value in constants:
        quant = value.quant
        if value.array.dtype not in (np.int8, np.int32) or quant is None or len(quant.scale) != 1 or quant.zero_point:
            raise node.unsupported(
                f"a gate of {value.array.dtype} on an int8 input", "int8 weights and int32 biases with one scale, zero point 0"
            )
    return constants


def _states(node: TfliteNode, x: Activation, values: Values, n_out: int) -> int:
    """The power of two that a step of the int8 cell is (0 in float), after a look at the variables."""
    if x.quant is None:
        for place in (18, 19):
            node.remembered(values[place], n_out, ("float32",))
        return 0
    hidden, cell = node.remembered(values[18], n_out, ("int8",)), node.remembered(values[19], n_out, ("int16",))
    if hidden.quant != node.output.quant:
        raise node.unsupported("a hidden state in another scale than the output", "one scale")
    return _power(node, cell)


def _power(node: TfliteNode, cell: Remembered) -> int:
    mantissa, exponent = frexp(cell.quant.scale[0]) if cell.quant is not None else (0.0, 0)
    if mantissa != 0.5 or not -15 <= exponent - 1 <= 0 or (cell.quant is not None and cell.quant.zero_point):
        raise node.unsupported("a cell whose step is no power of two", "2**-15 to 1, zero point 0")
    return exponent - 1


def _options(table: Table) -> dict[str, Any]:
    return fused_option(table) | {"cell_clip": float(table.number(1, "float32")), "time_major": bool(table.number(3, "bool"))}


def write(graph: Graph, layer: Layer) -> None:
    op, n_out = cast("Lstm", layer.op), layer.shape[-1]
    if not op.stateful and (others := [other.name for other in graph.network if kind(other).remembers]):
        raise Unsupported(
            f"layer {short(layer.name)}, an LSTM that begins anew with each input",
            got=f"layer {short(others[0])} beside it, which remembers",
            allowed="one of the two in TFLite files: all their variables are reset, or none",
            next_step="write it as ONNX or C",
        )
    inputs = [graph.source(layer), *[-1] * 23]
    for name, first in PARAMETERS.items():
        quant = layer.quant.get(name)
        for gate, array in enumerate(layer.params[name]):
            own = None if quant is None else Quant((quant.scale[gate],), 0, dtype=quant.dtype)
            inputs[first + gate] = graph.constant(f"{layer.name}.{name}.{GATES[gate]}", array, own)
    output = layer.quant.get("output")
    cell = None if output is None else Quant((2.0**op.cell_power,), 0, dtype="int16")
    inputs[18] = graph.variable(f"{layer.name}.hidden", (1, n_out), "float32" if output is None else "int8", output)
    inputs[19] = graph.variable(f"{layer.name}.cell", (1, n_out), "float32" if cell is None else "int16", cell)
    options = {"fusedActivationFunction": schema.ActivationFunctionType.TANH, "cellClip": op.clip}
    name = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    graph.operator(name, inputs, graph.output(layer), "UnidirectionalSequenceLSTMOptions", version=1, **options)


READERS = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Handler(_lstm, (24, 24), schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions, _options),
}
