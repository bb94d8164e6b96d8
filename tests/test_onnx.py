"""ONNX out and back in: the checker, ONNX Runtime, exact round trips, and files that others make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_files import METADATA, assert_same_arrays, assert_same_network, dense, float_network, forward, quantised, run_onnx
from onnx import TensorProto, helper, numpy_helper

from edgeff import ops
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_onnx, load
from edgeff.formats.onnx.writer import to_onnx, write_onnx
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops import kind
from edgeff.ops.mfcc import Mfcc
from edgeff.ops.normalise import Normalise
from edgeff.ops.softmax import Softmax

RNG = np.random.default_rng(7)
X = RNG.normal(size=(200, 64)).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"softmax": False}, {"normalise": True}, {"sizes": (64, 1)}])
def test_a_float_network_runs_in_onnx_runtime(options: dict[str, Any]) -> None:
    network = float_network(**options)
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    expected = forward(network, X)[network.layers[-1].name]
    # Float32 against float64: 64 products of magnitude 1 and an exp.
    np.testing.assert_allclose(run_onnx(model, X), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("per_channel", [False, True])
def test_an_int8_network_runs_in_onnx_runtime_within_one_step(per_channel: bool) -> None:
    network = quantised(float_network(), X, per_channel=per_channel)
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    actual = run_onnx(model, X)
    steps = np.round(actual * 256).astype(int)
    np.testing.assert_array_equal(steps / 256, actual)
    expected = forward(float_network(), X)["softmax"]
    # int8 against float: the error of quantisation, not of the file.
    assert np.abs(actual - expected).max() < 0.05
    assert np.mean(actual.argmax(axis=1) == expected.argmax(axis=1)) > 0.93


@pytest.mark.parametrize("per_channel", [False, True])
def test_onnx_runtime_differs_by_one_bit_at_most(per_channel: bool) -> None:
    """One dense layer, against exact rational arithmetic: ONNX Runtime rescales in float, so ties and near-ties may round the other way."""
    network = quantised(float_network((64, 32), softmax=False), X, per_channel=per_channel)
    layer, quant = network.layers[0], network.input_quant
    assert quant is not None
    out = layer.quant["output"]
    q = np.clip(np.round(X / np.float32(quant.scale[0])) + quant.zero_point, -128, 127).astype(np.int64)
    acc = (q - quant.zero_point) @ layer.params["weight"].astype(np.int64).T + layer.params["bias"]
    real = acc * (quant.scale[0] * layer.quant["weight"].scales() / out.scale[0]) + out.zero_point
    expected = np.clip(np.round(real), -128, 127)
    actual = np.round(run_onnx(to_onnx(network), X) / out.scale[0]) + out.zero_point
    difference = np.abs(actual - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= expected.size // 100


@pytest.mark.parametrize(
    "network",
    [
        float_network(),
        float_network(bias=False, normalise=True),
        quantised(float_network(), X, per_channel=False),
        quantised(float_network(bias=False), X, per_channel=True),
        quantised(float_network((64, 1), softmax=False), X, per_channel=True),
        quantised(float_network(normalise=True), X, per_channel=True),
        replace(float_network(), name="", metadata={}),
    ],
    ids=["float", "normalise", "int8", "per channel", "one channel", "int8 normalise", "nameless"],
)
def test_our_own_files_come_back_exactly(network: Network, tmp_path: Path) -> None:
    path = write_onnx(network, tmp_path / "m.onnx")
    assert_same_network(network, load(path))
    assert path.read_bytes() == write_onnx(load(path), tmp_path / "again.onnx").read_bytes()


def test_attributes_and_scales_keep_every_bit() -> None:
    normalise = Layer("n", Normalise(eps=0.1), ("input",), (4,))
    network = Network("n", (4,), (normalise,))
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))
    int8 = replace(network, layers=(replace(normalise, quant={"output": Quant((1 / 3,), 5)}),), input_quant=Quant((0.1,), -7))
    assert_same_network(int8, from_onnx(to_onnx(int8).SerializeToString()))


HOSTILE_NAMES = [
    '*/ system("rm -rf /"); /*',
    "../../etc/passwd",
    "a\nb\0c",
    "<script>alert(1)</script>",
    "dense_1.weight",
    "input.quantized",
    "名前 \u202e",
    "%s%n",
    " ",
    "x" * 4096,
]


@pytest.mark.parametrize("per_channel", [None, True])
def test_hostile_names_come_back_as_they_are(per_channel: bool | None) -> None:
    chain: list[Layer] = [dense("dense_1", "input", np.eye(4, dtype=np.float32), np.ones(4, np.float32), "relu")]
    for name in HOSTILE_NAMES:
        chain.append(dense(name, chain[-1].name, np.eye(4, dtype=np.float32), np.ones(4, np.float32), "relu"))
    network = Network("'; DROP TABLE models; --", (4,), tuple(chain), metadata=METADATA)
    if per_channel is not None:
        network = quantised(network, X[:, :4], per_channel=per_channel)
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    assert_same_network(network, from_onnx(model.SerializeToString()))


def test_the_graph_wins_over_a_stale_description() -> None:
    model = to_onnx(float_network((4, 3), softmax=False, normalise=False))
    weight = next(t for t in model.graph.initializer if t.name == "dense_1.weight")
    weight.CopyFrom(numpy_helper.from_array(np.ones((3, 4), np.float32), "dense_1.weight"))
    model.graph.node[0].name = "renamed"
    network = from_onnx(model.SerializeToString())
    assert network.layers[0].name == "renamed"
    np.testing.assert_array_equal(network.layers[0].params["weight"], np.ones((3, 4), np.float32))


def build(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    *,
    shape: list[Any] | None = None,
    output: str = "y",
    opset: int = 17,
    input_type: int = TensorProto.FLOAT,
    output_shape: list[Any] | None = None,
) -> bytes:
    """A foreign model: input "x", output ``output``."""
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("x", input_type, shape or ["batch", 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape or ["batch", 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="elsewhere")
    return bytes(model.SerializeToString())


W = RNG.normal(size=(4, 3)).astype(np.float32)  # (n_in, n_out)
B = RNG.normal(size=3).astype(np.float32)
N = helper.make_node
FOREIGN: dict[str, tuple[list[onnx.NodeProto], dict[str, Array]]] = {
    "matmul": ([N("MatMul", ["x", "w"], ["y"])], {"w": W}),
    "matmul add": ([N("MatMul", ["x", "w"], ["t"]), N("Add", ["t", "b"], ["y"])], {"w": W, "b": B}),
    "add first, row bias": ([N("MatMul", ["x", "w"], ["t"]), N("Add", ["b", "t"], ["y"])], {"w": W, "b": B[None]}),
    "gemm": ([N("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B}),
    "gemm transposed": ([N("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": np.ascontiguousarray(W.T), "b": B}),
    "gemm scaled": ([N("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=3.0)], {"w": W, "b": B}),
    "gemm scalar bias": ([N("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": np.array(0.5, np.float32)}),
    "gemm no bias": ([N("Gemm", ["x", "w"], ["y"])], {"w": W}),
    "gemm empty bias": ([N("Gemm", ["x", "w", ""], ["y"])], {"w": W}),
    "transposed constant": (
        [N("Transpose", ["w"], ["wt"], perm=[1, 0]), N("MatMul", ["x", "wt"], ["y"])],
        {"w": np.ascontiguousarray(W.T)},
    ),
    "constant node": ([N("Constant", [], ["w"], value=numpy_helper.from_array(W)), N("MatMul", ["x", "w"], ["y"])], {}),
    "relu, softmax": (
        [N("MatMul", ["x", "w"], ["t"]), N("Relu", ["t"], ["r"]), N("Relu", ["r"], ["s"]), N("Softmax", ["s"], ["y"])],
        {"w": W},
    ),
    "no-ops": (
        [
            N("Identity", ["x"], ["i"]),
            N("Flatten", ["i"], ["f"]),
            N("Dropout", ["f"], ["d", "mask"]),
            N("Reshape", ["d", "s"], ["r"]),
            N("Gemm", ["r", "w"], ["y"]),
        ],
        {"w": W, "s": np.array([-1, 4])},
    ),
    "dead branch": ([N("MatMul", ["x", "w"], ["dead"]), N("MatMul", ["x", "w"], ["y"])], {"w": W}),
    "residual": ([N("MatMul", ["x", "w"], ["t"]), N("Relu", ["t"], ["u"]), N("Add", ["t", "u"], ["y"])], {"w": W}),
    "normalise": (
        [
            N("Mul", ["x", "x"], ["q"]),
            N("ReduceMean", ["q"], ["m"], axes=[1], keepdims=1),
            N("Sqrt", ["m"], ["r"]),
            N("Add", ["e", "r"], ["d"]),
            N("Div", ["x", "d"], ["n"]),
            N("MatMul", ["n", "w"], ["y"]),
        ],
        {"w": W, "e": np.array([0.25], np.float32)},
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_dense_models_made_elsewhere(case: str) -> None:
    nodes, constants = FOREIGN[case]
    data = build(nodes, constants)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    network = from_onnx(data)
    x = RNG.normal(size=(20, 4)).astype(np.float32)
    expected = run_onnx(onnx.load_from_string(data), x)
    made = ops.forward(network, ops.parameters(network), x)[network.layers[-1].name]
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    assert network.numeric == "float32"
    assert network.metadata["source"] == {"format": "onnx", "producer": "elsewhere"}
    assert_same_network(network, from_onnx(to_onnx(network).SerializeToString()))


def test_names_from_outside_are_kept_and_made_unique() -> None:
    nodes = [
        N("MatMul", ["x", "a"], ["t"], name="fc"),
        N("MatMul", ["t", "b"], ["u"], name="fc"),
        N("MatMul", ["u", "b"], ["y"], name="input"),
    ]
    network = from_onnx(build(nodes, {"a": W, "b": np.eye(3, dtype=np.float32)}))
    assert [layer.name for layer in network] == ["fc", "fc_1", "input_1"]
    assert network.layers[1].inputs == ("fc",)


def test_an_image_that_is_flattened_keeps_its_shape_as_the_input() -> None:
    nodes = [N("Flatten", ["x"], ["f"]), N("Gemm", ["f", "w"], ["y"])]
    network = from_onnx(build(nodes, {"w": W}, shape=["batch", 1, 2, 2]))
    assert network.input_shape == (1, 2, 2)
    assert [layer.kind for layer in network] == ["dense"]


REFUSED: dict[str, tuple[type[EdgeffError], str, list[onnx.NodeProto], dict[str, Array]]] = {
    "operator": (Unsupported, "node 'wave_1', operator 'Elu'", [N("Elu", ["x"], ["y"], name="wave_1", alpha=2.0)], {"w": W}),
    "domain": (Unsupported, "domain 'com.example'", [N("Gemm", ["x", "w"], ["y"], domain="com.example")], {"w": W}),
    "transA": (Unsupported, "transA", [N("Gemm", ["x", "w"], ["y"], transA=1)], {"w": W}),
    "attribute": (Unsupported, "attribute 'speed'", [N("Gemm", ["x", "w"], ["y"], speed=1)], {"w": W}),
    "cycle": (
        BadInput,
        "cycle",
        [N("MatMul", ["u", "w"], ["t"]), N("MatMul", ["t", "v"], ["u"]), N("Identity", ["t"], ["y"])],
        {"w": W, "v": W.T},
    ),
    "shape": (BadInput, "input (4,) times (3, 4)", [N("MatMul", ["x", "w"], ["y"])], {"w": np.ascontiguousarray(W.T)}),
    "output made twice": (BadInput, "output 'y'", [N("MatMul", ["x", "w"], ["y"]), N("MatMul", ["x", "w"], ["y"])], {"w": W}),
    "missing output": (BadInput, "no layer computes", [N("MatMul", ["x", "w"], ["z"])], {"w": W}),
    "only no-ops": (BadInput, "no layer computes", [N("Identity", ["x"], ["y"])], {}),
    "NaN": (
        BadInput,
        "'w': got 1 NaN",
        [N("MatMul", ["x", "w"], ["y"])],
        {"w": np.where(np.arange(12).reshape(4, 3) == 5, np.float32(np.nan), W)},
    ),
    "infinity": (BadInput, "'w': got 12 NaN or infinite", [N("MatMul", ["x", "w"], ["y"])], {"w": np.full((4, 3), np.inf, np.float32)}),
    "overflow": (BadInput, "alpha", [N("Gemm", ["x", "w"], ["y"], alpha=3e38)], {"w": W * 10}),
    "float64": (Unsupported, "DOUBLE", [N("MatMul", ["x", "w"], ["y"])], {"w": W.astype(np.float64)}),
    "int weights": (Unsupported, "int32", [N("MatMul", ["x", "w"], ["y"])], {"w": np.ones((4, 3), np.int32)}),
    "product": (
        Unsupported,
        "an intermediate where a layer's output belongs",
        [
            N("MatMul", ["x", "w"], ["t"]),
            N("Mul", ["t", "t"], ["s"]),
            N("ReduceMean", ["s"], ["m"], axes=[1]),
            N("Mul", ["t", "s"], ["y"]),
        ],
        {"w": W},
    ),
    "column bias": (
        Unsupported,
        "a constant of float32 (3, 1)",
        [N("MatMul", ["x", "w"], ["t"]), N("Add", ["t", "b"], ["y"])],
        {"w": W, "b": B[:, None]},
    ),
    "softmax over the batch": (Unsupported, "axis", [N("MatMul", ["x", "w"], ["t"]), N("Softmax", ["t"], ["y"], axis=0)], {"w": W}),
    "reshape that mixes samples": (
        Unsupported,
        "reshape",
        [N("Reshape", ["x", "s"], ["r"]), N("MatMul", ["r", "w"], ["y"])],
        {"w": W, "s": np.array([-1, 2])},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_by_name(case: str) -> None:
    kind, part, nodes, constants = REFUSED[case]
    data = build(nodes, constants)
    with pytest.raises(kind) as caught:
        from_onnx(data)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    if kind is Unsupported and case == "operator":
        assert "alpha=2.0" in str(caught.value)
        assert "Gemm" in str(caught.value)


def test_external_data_are_refused() -> None:
    model = onnx.load_from_string(build([N("MatMul", ["x", "w"], ["y"])], {"w": W}))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(Unsupported, match="external file"):
        from_onnx(model.SerializeToString())


@pytest.mark.parametrize("activation", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_model_quantised_by_onnx_runtime(activation: str, per_channel: bool, tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Samples(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.rows = iter(X)

        def get_next(self) -> dict[str, Array] | None:
            row = next(self.rows, None)
            return None if row is None else {"input": row[None]}

    network = float_network(softmax=False)
    write_onnx(network, tmp_path / "float.onnx")
    kinds = {"int8": quantization.QuantType.QInt8, "uint8": quantization.QuantType.QUInt8}
    quantization.quantize_static(
        str(tmp_path / "float.onnx"),
        str(tmp_path / "int8.onnx"),
        Samples(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=kinds[activation],
        weight_type=quantization.QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )
    imported = load(tmp_path / "int8.onnx")
    assert imported.numeric == "int8"
    assert [layer.name for layer in imported] == ["dense_1", "dense_2"]
    assert dict(imported.metadata) == METADATA
    assert (imported.layers[0].quant["weight"].axis == 0) == per_channel
    theirs = run_onnx(onnx.load(tmp_path / "int8.onnx"), X)
    ours = run_onnx(to_onnx(imported), X)
    step = imported.layers[-1].quant["output"].scale[0]
    # The same integers in the same runtime; a fused kernel may still round a tie the other way.
    assert np.abs(theirs - ours).max() <= 1.001 * step
    assert np.mean(theirs != ours) < 0.02


def test_integer_input_and_output_are_read() -> None:
    """A graph that takes and gives int8, as quantisers for accelerators write it."""
    scale = np.array(0.05, np.float32)
    nodes = [
        N("DequantizeLinear", ["x", "s", "z"], ["xf"]),
        N("DequantizeLinear", ["w", "sw", "zw"], ["wf"], axis=1),
        N("MatMul", ["xf", "wf"], ["t"]),
        N("Relu", ["t"], ["r"]),
        N("QuantizeLinear", ["r", "so", "z"], ["y"]),
    ]
    weight = RNG.integers(-127, 128, (4, 3)).astype(np.int8)
    constants: dict[str, Array] = {
        "s": scale,
        "z": np.array(3, np.int8),
        "w": weight,
        "sw": np.array([0.1, 0.2, 0.3], np.float32),
        "zw": np.zeros(3, np.int8),
        "so": np.array(0.5, np.float32),
    }
    network = from_onnx(build(nodes, constants, input_type=TensorProto.INT8))
    assert network.input_quant == Quant((float(scale),), 3)
    layer = network.layers[0]
    assert kind(layer).attributes["activation"] == "relu"
    assert layer.quant["weight"] == Quant(tuple(constants["sw"].tolist()), 0, 0)
    assert_same_arrays(layer.params, {"weight": np.ascontiguousarray(weight.T)})


def test_a_network_that_breaks_the_conventions_is_not_written() -> None:
    network = float_network((4, 3))
    bad_weight = network.layers[0].params["weight"].copy()
    bad_weight[1, 2] = np.nan
    layer = replace(network.layers[0], params={"weight": bad_weight})
    with pytest.raises(BadInput, match="1 NaN or infinite of 12"):
        to_onnx(network.replacing({"dense_1": layer}))
    with pytest.raises(BadInput, match="metadata"):
        to_onnx(replace(network, metadata={"x": {1, 2}}))
    with pytest.raises(BadInput, match="metadata"):
        to_onnx(replace(network, metadata={"x": float("nan")}))
    with pytest.raises(Unsupported, match="kind 'mfcc'"):
        to_onnx(Network("n", (4,), (Layer("c", Mfcc(), ("input",), (4,)),)))
    with pytest.raises(BadInput, match="lone surrogate"):
        to_onnx(Network("n", (4,), (Layer("\ud800", Softmax(), ("input",), (4,)),)))
    with pytest.raises(BadInput, match="can be written"):
        write_onnx(network, Path("/nonexistent/folder/m.onnx"))
