"""Variables that live on their own in a TFLite file: CALL_ONCE, VAR_HANDLE, READ_VARIABLE and ASSIGN_VARIABLE.

TensorFlow makes them of what a streaming layer keeps. Read are those that hold the last rows of earlier inputs: ``Assembly.recent`` says
of which pattern they become a layer. A CALL_ONCE names the subgraph that assigns what they start as (``reader``), which must be zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeff.formats.assembly import STREAM, Assembly
from edgeff.formats.checks import short
from edgeff.formats.tflite.flatbuffer import Table
from edgeff.formats.tflite.operators import Handler, TfliteNode, Values
from edgeff.formats.tflite.schema import schema
from edgeff.formats.values import Node, Recalled, Value, Variable


def name_of(options: Table | None) -> str:
    """The name of a VAR_HANDLE's variable, from its options."""
    return "" if options is None else f"{options.string(0)}/{options.string(1)}"


def _handle(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    name = str(node.attributes.get("variable", ""))
    return assembly.variables.setdefault(name, Variable(name, None))


def _variable(node: Node, value: Value | None) -> Variable:
    if not isinstance(value, Variable):
        raise node.bad("a resource that is no variable", "the output of a VAR_HANDLE")
    return value


def _read(assembly: Assembly, node: TfliteNode, values: Values) -> Value:
    variable, output = _variable(node, values[0]), node.output
    if variable.recalled or variable.assigned:
        raise node.unsupported(f"variable {short(variable.name)} read twice, or after it is assigned", STREAM)
    start = None if variable.initial is None else variable.initial.array
    zero = 0 if output.quant is None else output.quant.zero_point
    if start is None or (start.shape, str(start.dtype)) != (output.shape, output.dtype) or output.dtype not in ("float32", "int8"):
        got = "no first value" if start is None else f"a first value of {start.dtype} {start.shape}"
        raise node.unsupported(f"variable {short(variable.name)} with {got}, read as {output.dtype} {output.shape}", STREAM)
    if np.any(start != zero) or len(output.shape) < 2 or output.shape[0] != 1 or (output.dtype == "int8") != (output.quant is not None):
        got = f"variable {short(variable.name)} of {output.dtype} {output.shape} that starts at {start.min():g} to {start.max():g}"
        raise node.unsupported(got, "(1, rows, ..) of float32, or int8 with a scale, that start at zero")
    variable.recalled, variable.rows = True, output.shape[1]
    return Recalled(variable, output.shape[1:], output.quant)


def _assign(assembly: Assembly, node: TfliteNode, values: Values) -> None:
    assembly.assign(node, _variable(node, values[0]), values[1])


def _options(table: Table) -> dict[str, Any]:
    return {"variable": name_of(table)}


_TYPES = schema.BuiltinOptions
READERS = {
    "ASSIGN_VARIABLE": Handler(_assign, (2, 2), _TYPES.AssignVariableOptions, silent=True),
    "CALL_ONCE": Handler(lambda assembly, node, values: None, (0, 0), _TYPES.CallOnceOptions, silent=True),
    "READ_VARIABLE": Handler(_read, (1, 1), _TYPES.ReadVariableOptions),
    "VAR_HANDLE": Handler(_handle, (0, 0), _TYPES.VarHandleOptions, _options),
}
