"""``benchmarks/conformance.py`` tells what is ok from what is refused and what is wrong; the figures are in its results."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeff import registry
from edgeff.contracts.operators import samples
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ops.leaky_relu import LeakyRelu
from edgeff.program.deploy import deploy

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import conformance
import conformance_operators

X = np.array([[-2, 0, 3], [1, -1, 0.5]], np.float32)


def model(op: str, *more: str) -> onnx.ModelProto:
    ends = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", *more, "y")}
    graph = helper.make_graph([helper.make_node(op, ["x", *more], ["y"])], "g", [ends[name] for name in ("x", *more)], [ends["y"]])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize(
    ("op", "y", "expected"),
    [("Relu", np.maximum(X, 0), "ok"), ("Relu", X, "wrong"), ("Relu", X[:, :2], "wrong"), ("Erf", X, "refused")],
)
def test_an_onnx_case_is_ok_refused_or_wrong(op: str, y: np.ndarray[Any, Any], expected: str) -> None:
    case = type("Case", (), {"name": "case", "model": model(op), "data_sets": [([X], [y])], "rtol": 1e-3, "atol": 1e-7})
    assert conformance.tried(case)[0] == expected


def test_a_case_s_constants_are_constants() -> None:
    data = conformance.bound(model("Mul", "w"), 1, [X, X])
    graph = onnx.load_model_from_string(data).graph
    assert ([value.name for value in graph.input], [value.name for value in graph.initializer]) == (["x"], ["w"])


def test_the_table_s_cells_say_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    network = conformance_operators.inferring(registry.ops["leaky_relu"], "int8")
    x = samples(network)
    deployed = deploy(network, x, numeric="int8", target="input")
    assert conformance_operators.in_tflite(deployed, x) == conformance_operators.EXACT
    *before, layer = deployed.network.layers
    other = to_tflite(replace(deployed.network, layers=(*before, replace(layer, op=LeakyRelu(alpha=0.5)))))
    monkeypatch.setattr(conformance_operators, "to_tflite", lambda _: other)
    assert conformance_operators.in_tflite(deployed, x).startswith("wrong")
    assert conformance.wrong({"key": [], "infer": {"C": "wrong: x", "ONNX": "refused: y"}, "learn": {}}) == ["C, infer: wrong: x"]
