"""Conformance: test vectors that others wrote for their operators, read by edgeff and run by its kernels; and a table of its own operators.

The corpus is the node tests of the ``onnx`` package, which it generates. A case is a model of one operator with inputs and expected
outputs. What it passes as an input is a constant where models have constants: a case is tried with its first input alone as an input, then
as it is. It is ok where all outputs are within the case's own tolerance, refused where edgeff says why, and else wrong. The first axis of a
case is the batch (of a sequence, the second): what runs along it is refused or computed, never something else. The table is of every
operator in every format and number format (``conformance_operators``).

``make conformance`` -> ``benchmarks/results/conformance.json``; status 1 where anything is wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import conformance_operators
import numpy as np
import onnx
from onnx import numpy_helper
from results import collect

from edgeff import registry
from edgeff.errors import EdgeffError
from edgeff.formats import from_onnx
from edgeff.ir import Array, Network
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.quantize import dequantise_array

REASON = 90
"""Characters of a reason that tell one from another."""
SEQUENCES = ("GRU", "LSTM", "RNN")
FUNCTIONS = "functions of several nodes"
Value = Array | onnx.TensorProto


@dataclass(frozen=True)
class Case:
    """A model's bytes, its inputs and expected outputs, each (batch, ..), and the tolerance."""

    name: str
    data: bytes
    inputs: Sequence[Array]
    outputs: Sequence[Array]
    rtol: float
    atol: float


def bound(model: onnx.ModelProto, constants: int, values: Sequence[Value]) -> bytes:
    """The model with its last ``constants`` inputs as initialisers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inputs = copy.graph.input
    names = [value.name for value in inputs][len(values) - constants :]
    for name, value in zip(names, values[len(values) - constants :], strict=True):
        if isinstance(value, onnx.TensorProto):
            copy.graph.initializer.add().CopyFrom(value)
            copy.graph.initializer[-1].name = name
        else:
            copy.graph.initializer.append(numpy_helper.from_array(value, name))
    del inputs[len(values) - constants :]
    return copy.SerializeToString()


@cache
def onnx_cases() -> dict[str, list[Any]]:
    """The node tests by the operator they are of, those of one node first: what ``onnx`` generates."""
    from onnx.backend.test.case.node import collect_testcases

    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the values that it makes
        for case in collect_testcases(None):
            nodes = case.model.graph.node if case.model else []
            found.setdefault(nodes[0].op_type if len(nodes) == 1 else FUNCTIONS, []).append(case)
    return dict(sorted(found.items()))


def ways(case: Any) -> Iterator[Case]:
    """A node test with constants in the place of all inputs but the first, then as it is."""
    for inputs, outputs in case.data_sets:
        first, last = (1, -2) if _time_first(case.model) else (0, 0)
        arrays: list[Value] = [value if isinstance(value, onnx.TensorProto) else np.asarray(value) for value in inputs]
        for constants in sorted({len(arrays) - 1, 0} - {-1}, reverse=True):
            yield Case(
                case.name,
                bound(case.model, constants, arrays),
                [_by_sample(_array(value), first) for value in arrays[: len(arrays) - constants]],
                [_by_sample(_array(value), last) for value in outputs],
                case.rtol,
                case.atol,
            )


def _time_first(model: onnx.ModelProto) -> bool:
    """Whether a case is of (steps, batch, ..) in and (.., batch, units) out."""
    node = model.graph.node[0]
    return node.op_type in SEQUENCES and not any(attribute.name == "layout" and attribute.i for attribute in node.attribute)


def _by_sample(array: Array, axis: int) -> Array:
    return np.moveaxis(array, axis, 0) if array.ndim > 1 else array


def _array(value: Any) -> Array:
    return np.asarray(numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value)


def real(values: Array, network: Network) -> Array:
    """Inputs as the numbers they stand for, (batch, numbers) float32."""
    flat = values.reshape(len(values), -1)
    if flat.dtype == np.float32 or network.input_quant is None:
        return flat.astype(np.float32)
    whole = flat.astype(np.int16) - (128 if flat.dtype == np.uint8 else 0)
    return dequantise_array(whole, network.input_quant)


def outcome(case: Case) -> str:
    """The reason why a case is refused, "wrong: .." or, where it is ok, nothing."""
    try:
        network = from_onnx(case.data)
        deployment = deploy(network, target="input")
        x = np.concatenate([real(values, network) for values in case.inputs], axis=1)
        given = deployment.inputs(x)
    except EdgeffError as error:
        return str(error)
    twin, rows = Interpreter(deployment.program), []
    try:
        for sample in given:
            twin.predict(sample)
            rows.append(twin.output().reshape(-1).copy())
    except EdgeffError as error:
        return f"wrong: {error}"
    made = np.array(rows)
    if made.dtype == np.int8:
        made = made.astype(np.int16) + (128 if case.outputs[0].dtype == np.uint8 else 0)
    differing = [_differing(made, _rows(case.outputs, len(rows), axis), case) for axis in range(case.outputs[0].ndim)]
    return "" if 0 in differing else f"wrong: {differing[0]} of {made.size} outputs"


def _rows(outputs: Sequence[Array], count: int, axis: int) -> Array | None:
    """The outputs of each of ``count`` samples, along an axis of the first output, first in others; None if they do not lie so."""
    first = outputs[0]
    if first.shape[axis] != count or any(value.shape[:1] != (count,) for value in outputs[1:]):
        return None
    return np.concatenate([np.moveaxis(first, axis, 0).reshape(count, -1), *(value.reshape(count, -1) for value in outputs[1:])], axis=1)


def _differing(made: Array, expected: Array | None, case: Case) -> int:
    """How many outputs are not near enough."""
    if expected is None or expected.shape != made.shape:
        return made.size
    near = np.isclose(made.astype(np.float64), expected.astype(np.float64), case.rtol, case.atol, equal_nan=True)
    return int((~near).sum())


def tried(case: Any) -> tuple[str, str]:
    """What became of a node test, and why."""
    reason = ""
    if any(isinstance(value, list) or np.asarray(value).dtype == object for data in case.data_sets for part in data for value in part):
        return "refused", "a sequence or another value that is no tensor"
    for way in ways(case):
        found = outcome(way)
        if not found:
            return "ok", ""
        if found.startswith("wrong"):
            return "wrong", f"{case.name}: {found}"
        reason = reason or found
    return "refused", reason


def vectors(found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A row of cases, each with what became of it and why."""
    counts = Counter(what for what, _ in found)
    reasons = Counter(why[:REASON] for what, why in found if what == "refused")
    return {
        "cases": len(found),
        "outcomes": dict(sorted(counts.items())),
        "reasons": dict(reasons.most_common(3)),
        "wrong": [why for what, why in found if what == "wrong"],
    }


def measure(corpus: str, name: str, numeric: str = "") -> dict[str, Any]:
    """What became of the cases of an operator, or of an operator of edgeff in a number format."""
    if corpus == "operators":
        return conformance_operators.measure(name, numeric)
    return vectors([tried(case) for case in onnx_cases()[name]])


def wrong(row: dict[str, Any]) -> list[str]:
    """What is wrong in a row."""
    cells = [f"{form}, {line}: {said}" for line in ("infer", "learn") for form, said in row.get(line, {}).items()]
    return row.get("wrong", []) + [cell for cell in cells if ": wrong" in cell]


if __name__ == "__main__":
    keys: list[tuple[str, ...]] = [("onnx", name) for name in onnx_cases()]
    keys += [("operators", name, numeric) for name in registry.ops for numeric in conformance_operators.NUMERICS]
    bad = [f"{' '.join(row['key'])}: {what}" for row in collect("conformance", keys, measure) for what in wrong(row)]
    print(*bad, f"{len(bad)} wrong", sep="\n")
    sys.exit(int(bool(bad)))
