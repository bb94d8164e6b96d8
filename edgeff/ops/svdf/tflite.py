"""Filters over time in TFLite: SVDF."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from edgeff.formats.assembly import Assembly
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.graph import Graph
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values, dequantised, fused, fused_option, only_fused
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Activation, Constant, Value
from edgeff.ir import Layer, Quant
from edgeff.ops.svdf import Svdf

PARAMETERS = {"features": 1, "time": 2, "biases": 3}
KINDS = {"features": ("int8",), "time": ("int8", "int16"), "biases": ("int32",)}


def _svdf(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    x, rank = assembly.exact(node, node.activation(values[0])), int(node.attributes.get("rank", 0))
    parts = {name: _part(assembly, node, x, name, node.constant(values[place], name)) for name, place in PARAMETERS.items()}
    features, time = (parts[name].array for name in ("features", "time"))
    units = node.output.shape[-1] if node.output.shape else 0
    if len(x.shape or ()) != 1 or rank < 1 or features.shape != (units * rank, *(x.shape or ())) or time.shape[:1] != features.shape[:1]:
        got = f"an input of {x.shape}, without the batch axis, features {features.shape}, time {time.shape} of rank {rank}"
        raise node.bad(got, "(n_in,), (units * rank, n_in), (units * rank, memory)")
    state = node.remembered(values[4], time.size, ("float32",) if x.quant is None else (str(time.dtype),))
    numbers: dict[str, int | float] = {"rank": rank}
    if x.quant is not None:
        if state.quant is None or len(state.quant.scale) != 1:
            raise node.unsupported("a state without one scale", "one scale")
        numbers |= {"state_scale": state.quant.scale[0], "state_zero": state.quant.zero_point}
        name, output = only_fused(node, "NONE", "RELU"), node.output.quant
        if name == "RELU" and (output is None or output.zero_point != -128):
            raise node.unsupported("a fused RELU above numbers below zero, which TFLM leaves out", "zero point -128, or NONE")
    draft = assembly.draft(node.name, node.record(Svdf, **numbers), (x,), (units,))
    for name, part in parts.items():
        assembly.charge(part.array.nbytes)
        draft.params[name] = np.array(part.array, order="C")
        if part.quant is not None:
            draft.quant[name] = part.quant
    return fused(assembly, node, Activation(draft.name, draft.shape))


def _part(assembly: Assembly, node: TfliteNode, x: Activation, name: str, value: Constant) -> Constant:
    """A parameter in float32, or in integers with one scale."""
    if x.quant is None:
        real = dequantised(assembly, node, value) if value.array.dtype == np.int8 else Constant(value.array)
        if real.array.dtype != np.float32:
            raise node.unsupported(f"{name} of {value.array.dtype} on a float input", "float32, or int8 with a scale")
        return real
    if str(value.array.dtype) not in KINDS[name] or value.quant is None or len(value.quant.scale) != 1 or value.quant.zero_point:
        raise node.unsupported(
            f"{name} of {value.array.dtype} on an int8 input", f"{' or '.join(KINDS[name])} with one scale, zero point 0"
        )
    return value


def _options(table: Table) -> dict[str, Any]:
    return fused_option(table, 1) | {"rank": int(table.number(0, "int32"))}


def write(graph: Graph, layer: Layer) -> None:
    op, time = cast("Svdf", layer.op), layer.params["time"]
    kept = Quant((op.state_scale,), op.state_zero, dtype=str(time.dtype)) if graph.int8 else None
    parameters = [graph.constant(f"{layer.name}.{name}", layer.params[name], layer.quant.get(name)) for name in PARAMETERS]
    state = graph.variable(f"{layer.name}.memory", (1, time.size), str(time.dtype), kept)
    inputs = [graph.source(layer), *parameters, state]
    graph.operator("SVDF", inputs, graph.output(layer), "SVDFOptions", version=3 if graph.int8 else 1, rank=op.rank, **graph.fused(layer))


READERS = {"SVDF": Handler(_svdf, (5, 5), schema.BuiltinOptions.SVDFOptions, _options)}
