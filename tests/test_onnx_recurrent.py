"""LSTM and GRU in ONNX files, in the forms that exporters give them, against ONNX Runtime on the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from model_files import assert_same_network, run_onnx
from test_onnx import N, build
from test_onnx_foreign import draw

from edgeff.device.targets.host import HostTarget
from edgeff.errors import EdgeffError, Unsupported
from edgeff.formats import from_onnx
from edgeff.formats.onnx.writer import to_onnx
from edgeff.ir import Array, Network
from edgeff.ops import forward, parameters
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

STEPS, N_IN, N_OUT = 6, 3, 5
GATES = {"GRU": 3, "LSTM": 4}
FRONT = ["N", STEPS, N_IN]
"""An input with the batch in front."""


def weights(op: str) -> dict[str, Array]:
    gates = GATES[op]
    return {
        "w": draw(1, gates * N_OUT, N_IN), "r": draw(1, gates * N_OUT, N_OUT), "b": draw(1, 2 * gates * N_OUT),
        "zero": np.zeros((1, 1, N_OUT), np.float32), "one": np.array([1], np.int64), "none": np.array([0], np.int64),
        "last": np.array(-1, np.int64), "first": np.array(0, np.int64), "end": np.array([STEPS], np.int64),
        "from": np.array([-1], np.int64), "head": draw(N_OUT, 2), "size": np.array([0, STEPS * N_OUT], np.int64),
        "wide": draw(STEPS * N_OUT, 2),
    }  # fmt: skip


def recurrent(op: str, inputs: list[str], outputs: list[str], **more: Any) -> onnx.NodeProto:
    return N(op, inputs, outputs, name="memory", hidden_size=N_OUT, **more)


TO_TIME = N("Transpose", ["x"], ["t"], perm=[1, 0, 2])
STATES = {"GRU": ["zero"], "LSTM": ["zero", "zero"]}


def pytorch_s_states(op: str) -> list[onnx.NodeProto]:
    """The states of zeros that PyTorch's exporter computes from the shape of the input."""
    names = [f"h{i}" for i in range(len(STATES[op]))]
    start = [N("Shape", ["t"], ["s"]), N("Gather", ["s", "one_place"], ["n"], axis=0), N("Unsqueeze", ["n", "none"], ["n1"])]
    return [*start, N("Concat", ["one", "n1", "outs"], ["sizes"], axis=0), *(N("ConstantOfShape", ["sizes"], [name]) for name in names)]


def case(form: str, op: str) -> tuple[list[onnx.NodeProto], list[Any], list[Any]]:
    """The nodes of a form, and the shapes of its input and output."""
    x = ["t", "w", "r", "b", "", *STATES[op]]
    if form == "every step, batch first":
        nodes = [TO_TIME, recurrent(op, x, ["y", ""]), N("Squeeze", ["y", "one"], ["q"]), N("Transpose", ["q"], ["out"], perm=[1, 0, 2])]
        return nodes, FRONT, ["N", STEPS, N_OUT]
    if form == "the last state":
        nodes = [TO_TIME, recurrent(op, x, ["", "h"]), N("Squeeze", ["h", "none"], ["q"]), N("MatMul", ["q", "head"], ["out"])]
        return nodes, FRONT, ["N", 2]
    if form == "the last step by Gather, states from the shape":
        nodes = [TO_TIME, *pytorch_s_states(op), recurrent(op, [*x[:5], *(f"h{i}" for i in range(len(STATES[op])))], ["y"])]
        nodes += [
            N("Squeeze", ["y", "one"], ["q"]),
            N("Transpose", ["q"], ["e"], perm=[1, 0, 2]),
            N("Gather", ["e", "last"], ["g"], axis=1),
        ]
        return [*nodes, N("MatMul", ["g", "head"], ["out"])], FRONT, ["N", 2]
    if form == "time in front, the last step by Slice":
        nodes = [recurrent(op, ["x", *x[1:4]], ["y"]), N("Squeeze", ["y", "one"], ["q"]), N("Slice", ["q", "from", "end", "none"], ["g"])]
        return [*nodes, N("Squeeze", ["g", "none"], ["e"]), N("MatMul", ["e", "head"], ["out"])], [STEPS, 1, N_IN], [1, 2]
    if form == "time in front, every step":
        return [recurrent(op, ["x", "w", "r"], ["y"]), N("Squeeze", ["y", "one"], ["out"])], [STEPS, 1, N_IN], [STEPS, 1, N_OUT]
    if form == "two layers, and both outputs of the second":
        nodes = [TO_TIME, recurrent(op, ["t", "w", "r", "b"], ["y"]), N("Squeeze", ["y", "one"], ["q"])]
        nodes += [
            N(op, ["q", "w2", "r", "b"], ["y2", "h2"], name="upper", hidden_size=N_OUT),
            N("Transpose", ["y2"], ["e"], perm=[2, 0, 1, 3]),
        ]
        nodes += [N("Reshape", ["e", "size"], ["f"]), N("MatMul", ["f", "wide"], ["m"]), N("Gather", ["h2", "first"], ["g"], axis=0)]
        return [*nodes, N("MatMul", ["g", "head"], ["k"]), N("Add", ["m", "k"], ["out"])], FRONT, ["N", 2]
    raise AssertionError(form)


FORMS = (
    "every step, batch first", "the last state", "the last step by Gather, states from the shape", "time in front, the last step by Slice",
    "time in front, every step", "two layers, and both outputs of the second",
)  # fmt: skip


def model(nodes: list[onnx.NodeProto], shape: list[Any], output_shape: list[Any], op: str) -> bytes:
    constants = weights(op) | {"one_place": np.array(1, np.int64), "outs": np.array([N_OUT], np.int64)}
    constants["w2"] = draw(1, GATES[op] * N_OUT, N_OUT)
    read = {name for node in nodes for name in node.input}
    given = {name: array for name, array in constants.items() if name in read}
    return build(nodes, given, shape=shape, output_shape=output_shape, output="out")


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("form", FORMS)
def test_a_sequence_gives_onnx_runtime_s_numbers(form: str, op: str) -> None:
    nodes, shape, output_shape = case(form, op)
    data = model(nodes, shape, output_shape, op)
    network = from_onnx(data)
    assert [layer.name for layer in network if layer.kind == op.lower()] == ["memory", "upper"][: 2 if "two" in form else 1]
    x = np.random.default_rng(3).normal(size=(8, STEPS, N_IN)).astype(np.float32)
    batches = [row[None] if shape[0] == "N" else row[:, None] for row in x]
    expected = np.concatenate([run_onnx(onnx.load_from_string(data), batch).reshape(-1, *network.layers[-1].shape) for batch in batches])
    actual = forward(network, parameters(network), x)[network.layers[-1].name]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)  # other orders of sums, another exponential
    in_c = exact_in_c(network, x)
    np.testing.assert_allclose(in_c, expected.reshape(len(x), -1), rtol=1e-4, atol=1e-5)  # float32's own exponential
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))
    again = run_onnx(to_onnx(network), x)
    np.testing.assert_allclose(again.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)  # the same kernels on the same weights


@pytest.mark.parametrize("after", [0, 1])
def test_a_gru_resets_before_or_after_its_product(after: int) -> None:
    nodes = [TO_TIME, recurrent("GRU", ["t", "w", "r", "b"], ["y"], linear_before_reset=after), N("Squeeze", ["y", "one"], ["q"])]
    data = model([*nodes, N("Transpose", ["q"], ["out"], perm=[1, 0, 2])], FRONT, ["N", STEPS, N_OUT], "GRU")
    network = from_onnx(data)
    x = np.random.default_rng(3).normal(size=(8, STEPS, N_IN)).astype(np.float32)
    expected = run_onnx(onnx.load_from_string(data), x)
    np.testing.assert_allclose(forward(network, parameters(network), x)["memory"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(exact_in_c(network, x), expected.reshape(8, -1), rtol=1e-4, atol=1e-5)  # float32's own exponential
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))


def exact_in_c(network: Network, x: Array) -> Array:
    """The outputs of the C, which are those of the twins."""
    deployment = deploy(network, target="input")
    twin, given = Interpreter(deployment.program), deployment.inputs(x.reshape(len(x), -1))
    made = HostTarget(deployment.program).predict_many(given)[1]
    for sample, row in zip(given, made, strict=True):
        twin.predict(sample)
        np.testing.assert_array_equal(twin.output().reshape(-1), row.reshape(-1))
    return np.asarray(made.reshape(len(x), -1))


def refusal(op: str, text: str, inputs: list[str] | None = None, outputs: list[str] | None = None, **more: Any) -> None:
    nodes = [TO_TIME, recurrent(op, inputs or ["t", "w", "r", "b"], outputs or ["y"], **more)]
    nodes.append(N("Squeeze", [nodes[-1].output[-1], "one"], ["out"]))
    with pytest.raises(EdgeffError) as caught:
        from_onnx(model(nodes, FRONT, [STEPS, "N", N_OUT], op))
    assert f"operator '{op}'" in str(caught.value)
    assert text in str(caught.value)


def test_what_no_layer_does_is_refused_by_name() -> None:
    refusal("LSTM", "the direction reverse", direction="reverse")
    refusal("LSTM", "the direction bidirectional", direction="bidirectional")
    refusal("LSTM", "activations ['Sigmoid', 'Relu', 'Tanh']", activations=["Sigmoid", "Relu", "Tanh"])
    refusal("LSTM", "a clip", clip=3.0)
    refusal("GRU", "the direction reverse", direction="reverse")
    refusal("GRU", "an initial state other than 0", ["t", "w", "r", "b", "", "head"])
    refusal("LSTM", "input_forget", input_forget=1)
    refusal("LSTM", "a length for each sequence", ["t", "w", "r", "b", "none"])
    refusal("LSTM", "an initial state other than 0", ["t", "w", "r", "b", "", "head", "zero"])
    refusal("LSTM", "peepholes", ["t", "w", "r", "b", "", "zero", "zero", "b"])
    refusal("LSTM", "the last cell as an output", outputs=["y", "h", "c"])


def test_a_tensor_with_the_batch_inside_is_refused_by_other_operators() -> None:
    nodes = [TO_TIME, N("Relu", ["t"], ["out"], name="bend")]
    with pytest.raises(Unsupported, match=r"node 'bend', operator 'Relu': got a tensor whose batch is axis 1"):
        from_onnx(model(nodes, FRONT, [STEPS, "N", N_IN], "LSTM"))
