"""Convolutional ONNX files that others make: float ones compared with ONNX Runtime's output of the original."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_files import assert_same_network, run_onnx
from test_onnx import N, build

from edgeff.errors import BadInput, Unsupported
from edgeff.formats import from_onnx
from edgeff.formats.onnx.writer import to_onnx
from edgeff.ir import Array
from edgeff.ops import forward, kind, parameters
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter

RNG = np.random.default_rng(11)


def draw(*shape: int) -> Array:
    """Weights whose sums stay near 1."""
    return (RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A graph from "x" to "y", the shapes of both without the batch, and the layers that it must come to."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, Array]
    shape: tuple[int, ...]
    output: tuple[int, ...]
    layers: str
    opset: int = 17

    def data(self) -> bytes:
        return build(self.nodes, self.constants, shape=["N", *self.shape], output_shape=["N", *self.output], opset=self.opset)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


CONV = N("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
PARAMETERS = {"w": draw(4, 3, 3, 3), "b": draw(4)}
NORM = {"g": draw(4) + 2, "be": draw(4), "mu": draw(4), "va": np.abs(draw(4)) + 1}
IMAGE = (3, 6, 5)


def after_conv(*nodes: onnx.NodeProto, output: tuple[int, ...] = (4, 6, 5), layers: str = "", opset: int = 17, **constants: Array) -> Case:
    """Nodes behind a convolution "c" (4, 6, 5) of the input (3, 6, 5)."""
    return Case([CONV, *nodes], PARAMETERS | constants, IMAGE, output, f"transpose conv2d {layers}".strip(), opset)


CASES: dict[str, Case] = {
    "a classifier as PyTorch writes it": Case(
        [
            N("Conv", ["x", "w1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], dilations=[1, 1], group=1),
            N("BatchNormalization", ["c1", "g", "be", "mu", "va"], ["n1"], epsilon=1e-3),
            N("Clip", ["n1", "zero", "six"], ["r1"]),
            N("Conv", ["r1", "wd", "bd"], ["d"], group=4, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            N("Relu", ["d"], ["rd"]),
            N("Conv", ["rd", "wp", "bp"], ["p"], kernel_shape=[1, 1]),
            N("Add", ["r1", "p"], ["s"]),
            N("Relu", ["s"], ["rs"]),
            N("MaxPool", ["rs"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
            N("GlobalAveragePool", ["m"], ["a"]),
            N("Flatten", ["a"], ["f"]),
            N("Gemm", ["f", "wg", "bg"], ["l"], transB=1),
            N("Softmax", ["l"], ["y"], axis=1),
        ],
        {
            "w1": draw(4, 3, 3, 3),
            "wd": draw(4, 1, 3, 3),
            "bd": draw(4),
            "wp": draw(4, 4, 1, 1),
            "bp": draw(4),
            "wg": draw(5, 4),
            "bg": draw(5),
            "zero": np.array(0, np.float32),
            "six": np.array(6, np.float32),
        }
        | NORM,
        (3, 9, 8),
        (5,),
        "transpose conv2d depthwise_conv2d conv2d add max_pool2d global_average_pool dense softmax",
    ),
    "a flattened image before a Gemm": after_conv(
        N("Flatten", ["c"], ["f"]), N("Gemm", ["f", "v"], ["y"]), v=draw(120, 7), output=(7,), layers="dense"
    ),
    "a flattened image before a MatMul": after_conv(
        N("Reshape", ["c", "s"], ["f"]), N("MatMul", ["f", "v"], ["y"]), s=ints(0, -1), v=draw(120, 7), output=(7,), layers="dense"
    ),
    "maxima over rows, then over channels and columns": after_conv(
        N("ReduceMax", ["c"], ["r"], axes=[2], keepdims=1),
        N("Conv", ["r", "v"], ["d"], kernel_shape=[1, 2]),
        N("ReduceMax", ["d"], ["y"], axes=[-1], keepdims=0),
        v=draw(3, 4, 1, 2),
        output=(3, 1),
        layers="transpose max_pool2d transpose conv2d transpose reshape max_pool2d reshape",
    ),
    "an image as the output": after_conv(N("Relu", ["c"], ["y"]), layers="transpose"),
    "a decoder: transposed convolutions and resizes": after_conv(
        N("ConvTranspose", ["c", "v", "bv"], ["t"], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        N("Resize", ["t", "", "by"], ["r"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        N("ConvTranspose", ["r", "g"], ["s"], group=2, strides=[1, 3], pads=[0, 1, 2, 0]),
        N("Resize", ["s", "", "up"], ["y"], mode="nearest"),
        v=draw(4, 6, 3, 3),
        bv=draw(6),
        by=np.array([1, 1, 1, 2], np.float32),
        g=draw(6, 2, 4, 2),
        up=np.array([1, 1, 2, 1], np.float32),
        output=(4, 26, 58),
        layers="upsample2d conv2d upsample2d upsample2d conv2d upsample2d transpose",
    ),
    "a flattened image as the output": after_conv(N("Flatten", ["c"], ["y"]), output=(120,), layers="transpose reshape"),
    "one channel is reshaped and not transposed": Case(
        [N("Conv", ["x", "w"], ["c"]), N("GlobalMaxPool", ["c"], ["m"]), N("Squeeze", ["m", "a"], ["y"])],
        {"w": draw(4, 1, 3, 2), "a": ints(2, 3)},
        (1, 7, 6),
        (4,),
        "reshape conv2d max_pool2d reshape",
    ),
    "features of a vector made an image": Case(
        [
            N("Reshape", ["x", "s"], ["i"]),
            N("Conv", ["i", "w"], ["c"], strides=[2, 1]),
            N("ReduceMean", ["c"], ["y"], axes=[2, 3], keepdims=0),
        ],
        {"s": ints(-1, 1, 7, 4), "w": draw(4, 1, 3, 2)},
        (28,),
        (4,),
        "reshape conv2d global_average_pool",
    ),
    "transpositions as tf2onnx writes them": Case(
        [
            N("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
            N("Conv", ["t", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
            N("Relu", ["c"], ["r"]),
            N("Transpose", ["r"], ["u"], perm=[0, 2, 3, 1]),
            N("ReduceMean", ["u"], ["m"], axes=[1, 2], keepdims=0),
            N("MatMul", ["m", "wm"], ["l"]),
            N("Add", ["l", "bm"], ["y"]),
        ],
        PARAMETERS | {"wm": draw(4, 3), "bm": draw(3)},
        (6, 5, 3),
        (3,),
        "conv2d global_average_pool dense",
    ),
    "a sum of two layouts": Case(
        [
            N("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
            N("Conv", ["t", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
            N("Transpose", ["c"], ["u"], perm=[0, 2, 3, 1]),
            N("Add", ["u", "x"], ["y"]),
        ],
        {"w": draw(3, 3, 3, 3), "b": draw(3)},
        (6, 5, 3),
        (6, 5, 3),
        "conv2d add",
    ),
    "a sum of an image and of the same in another order": after_conv(
        N("Transpose", ["c"], ["t"], perm=[0, 1, 3, 2]),
        N("Transpose", ["t"], ["u"], perm=[0, 1, 3, 2]),
        N("Relu", ["u"], ["r"]),
        N("Add", ["r", "c"], ["s"]),
        N("GlobalAveragePool", ["s"], ["y"]),
        output=(4, 1, 1),
        layers="relu add global_average_pool reshape",
    ),
    "batch normalisation and a constant added": after_conv(
        N("BatchNormalization", ["c", *NORM], ["n"]),
        N("Add", ["shift", "n"], ["s"]),
        N("Mul", ["s", "factor"], ["t"]),
        N("Sub", ["t", "mean"], ["u"]),
        N("Relu", ["u"], ["r"]),
        N("GlobalAveragePool", ["r"], ["y"]),
        shift=draw(1, 4, 1, 1),
        factor=np.array(0.5, np.float32),
        mean=draw(4, 1, 1),
        output=(4, 1, 1),
        layers="global_average_pool reshape",
        g=NORM["g"],
        be=NORM["be"],
        mu=NORM["mu"],
        va=NORM["va"],
    ),
    "a bias added behind the convolution": Case(
        [N("Conv", ["x", "w"], ["c"]), N("Add", ["c", "b"], ["a"]), N("GlobalAveragePool", ["a"], ["g"]), N("Flatten", ["g"], ["y"])],
        {"w": draw(4, 3, 3, 3), "b": draw(4, 1, 1)},
        IMAGE,
        (4,),
        "transpose conv2d global_average_pool",
    ),
    "zeros around an image": Case(
        [
            N("Pad", ["x", "p"], ["q"]),
            N("Conv", ["q", "w"], ["c"], strides=[2, 2]),
            N("GlobalAveragePool", ["c"], ["g"]),
            N("Flatten", ["g"], ["y"]),
        ],
        {"p": ints(0, 0, 1, 0, 0, 0, 2, 1), "w": draw(4, 3, 3, 3)},
        IMAGE,
        (4,),
        "transpose conv2d global_average_pool",
    ),
    "zeros around some axes of an image, channels last": Case(
        [
            N("Pad", ["x", "p", "", "axes"], ["q"]),
            N("Transpose", ["q"], ["t"], perm=[0, 3, 1, 2]),
            N("Conv", ["t", "w"], ["c"]),
            N("GlobalAveragePool", ["c"], ["g"]),
            N("Flatten", ["g"], ["y"]),
        ],
        {"p": ints(1, 0, 0, 2), "axes": ints(1, -2), "w": draw(4, 3, 3, 3)},
        (6, 5, 3),
        (4,),
        "conv2d global_average_pool",
        18,
    ),
    "zeros and ReLU6 as attributes": Case(
        [
            N("Pad", ["x"], ["q"], pads=[0, 0, 1, 1, 0, 0, 1, 1], mode="constant"),
            N("Conv", ["q", "w"], ["c"]),
            N("Clip", ["c"], ["r"], min=0.0, max=6.0),
            N("Flatten", ["r"], ["f"]),
            N("Gemm", ["f", "v", "b"], ["y"], transB=1),
        ],
        {"w": draw(2, 3, 3, 3), "v": draw(3, 60), "b": draw(3)},
        IMAGE,
        (3,),
        "transpose conv2d dense",
        9,
    ),
    "groups": Case(
        [
            N("Conv", ["x", "w"], ["c"], pads=[1, 1, 0, 0]),
            N("Conv", ["c", "g", "b"], ["d"], group=3, strides=[1, 2]),
            N("GlobalAveragePool", ["d"], ["m"]),
            N("Flatten", ["m"], ["y"]),
        ],
        {"w": draw(6, 3, 3, 3), "g": draw(9, 2, 2, 2), "b": draw(9)},
        IMAGE,
        (9,),
        "transpose conv2d conv2d global_average_pool",
    ),
    "sequences": Case(
        [
            N("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3], strides=[2], pads=[1, 0]),
            N("Relu", ["c"], ["r"]),
            N("Conv", ["r", "wd"], ["d"], group=4, auto_pad="SAME_LOWER"),
            N("MaxPool", ["d"], ["m"], kernel_shape=[2], strides=[2]),
            N("GlobalAveragePool", ["m"], ["g"]),
            N("Flatten", ["g"], ["y"]),
        ],
        {"w": draw(4, 3, 3), "b": draw(4), "wd": draw(4, 1, 2)},
        (3, 13),
        (4,),
        "transpose conv1d reshape depthwise_conv2d max_pool2d global_average_pool",
    ),
    "weights that nodes make": Case(
        [
            N("Transpose", ["k"], ["w"], perm=[3, 2, 0, 1]),
            N("Reshape", ["flat", "s"], ["b"]),
            N("Unsqueeze", ["b", "a"], ["b2"]),
            N("Squeeze", ["b2", "a"], ["b1"]),
            N("Conv", ["x", "w", "b1"], ["c"]),
            N("ReduceMean", ["c", "axes"], ["y"], keepdims=0),
        ],
        {"k": draw(3, 3, 3, 4), "flat": draw(2, 2), "s": ints(-1), "a": ints(0), "axes": ints(-1, 2)},
        IMAGE,
        (4,),
        "transpose conv2d global_average_pool",
        18,
    ),
    "axes of length one that come and go": after_conv(
        N("GlobalAveragePool", ["c"], ["g"]),
        N("Squeeze", ["g", "a"], ["q"]),
        N("Unsqueeze", ["q", "a"], ["u"]),
        N("Conv", ["u", "v"], ["d"]),
        N("Softmax", ["d"], ["p"], axis=1),
        N("Reshape", ["p", "s"], ["y"]),
        a=ints(2, 3),
        v=draw(5, 4, 1, 1),
        s=ints(0, 5),
        output=(5,),
        layers="global_average_pool reshape conv2d reshape softmax",
    ),
    "a convolution of one column, seen as a sequence": Case(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Squeeze", ["c", "a"], ["q"]),
            N("Unsqueeze", ["q", "a"], ["u"]),
            N("Conv", ["u", "v"], ["d"]),
            N("GlobalAveragePool", ["d"], ["g"]),
            N("Flatten", ["g"], ["y"]),
        ],
        {"w": draw(4, 3, 3, 5), "a": ints(3), "v": draw(5, 4, 2, 1)},
        IMAGE,
        (5,),
        "transpose conv2d conv2d global_average_pool",
    ),
    "a shape that PyTorch computes": after_conv(
        N("Shape", ["c"], ["s"]),
        N("Gather", ["s", "zero"], ["n"], axis=0),
        N("Unsqueeze", ["n", "a"], ["u"]),
        N("Cast", ["u"], ["t"], to=7),
        N("Concat", ["t", "rest"], ["all"], axis=0),
        N("Reshape", ["c", "all"], ["f"]),
        N("MatMul", ["f", "v"], ["y"]),
        zero=np.array(0),
        a=ints(0),
        rest=ints(-1),
        v=draw(120, 7),
        output=(7,),
        layers="dense",
    ),
    "a shape that a newer PyTorch computes": after_conv(
        N("Shape", ["c"], ["s"]),
        N("Slice", ["s", "begin", "end", "begin"], ["n"]),
        N("Shape", ["c"], ["last"], start=3),
        N("Concat", ["n", "some", "last"], ["all"], axis=0),
        N("Reshape", ["c", "all"], ["r"]),
        N("Flatten", ["r"], ["f"]),
        N("MatMul", ["f", "v"], ["y"]),
        some=ints(24),
        v=draw(120, 7),
        output=(7,),
        layers="dense",
        begin=ints(0),
        end=ints(1),
    ),
    "a channel shuffle": after_conv(
        N("Reshape", ["c", "s"], ["r"]),
        N("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3]),
        N("Reshape", ["t", "back"], ["i"]),
        N("GlobalAveragePool", ["i"], ["g"]),
        N("Flatten", ["g"], ["y"]),
        s=ints(0, 2, 2, 30),
        back=ints(0, 4, 6, 5),
        output=(4,),
        layers="transpose reshape transpose reshape transpose global_average_pool",
    ),
}
for pads in ("SAME_UPPER", "SAME_LOWER", "VALID"):
    for step in (1, 2, 3):
        CASES[f"{pads} in steps of {step}"] = Case(
            [
                N("Conv", ["x", "w"], ["c"], auto_pad=pads, strides=[step, 1]),
                N("AveragePool", ["c"], ["p"], auto_pad=pads, kernel_shape=[2, 3]),
                N("GlobalAveragePool", ["p"], ["g"]),
                N("Flatten", ["g"], ["y"]),
            ],
            {"w": draw(4, 3, 2, 2)},
            (3, 9, 6),
            (4,),
            "transpose conv2d average_pool2d global_average_pool",
        )
for operator in ("MaxPool", "AveragePool"):
    for step in (1, 2, 3):
        CASES[f"{operator} rounded up in steps of {step}"] = after_conv(
            N(operator, ["c"], ["p"], kernel_shape=[3, 2], strides=[step, step], pads=[1, 0, 0, 1], ceil_mode=1),
            N("Flatten", ["p"], ["f"]),
            N("ReduceMean", ["p"], ["m"], axes=[2, 3]),
            N("Flatten", ["m"], ["y"]),
            output=(4,),
            layers=f"{operator[:-4].lower()}_pool2d global_average_pool",
        )


@pytest.mark.parametrize("name", CASES)
def test_a_float_model_made_elsewhere_gives_the_same_numbers(name: str) -> None:
    case = CASES[name]
    model = onnx.load_from_string(case.data())
    onnx.checker.check_model(model, full_check=True)
    network = from_onnx(case.data())
    assert " ".join(layer.kind for layer in network) == case.layers
    assert network.input_shape == case.shape
    x = RNG.normal(size=(5, *case.shape)).astype(np.float32)
    expected = run_onnx(model, x)
    actual = forward(network, parameters(network), x)[network.layers[-1].name]
    assert actual.shape == expected.shape
    # Sums of float32 in another order, and batch normalisation folded into float32 weights.
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    again = to_onnx(network)
    np.testing.assert_allclose(run_onnx(again, x), expected, rtol=1e-4, atol=1e-5)
    assert_same_network(network, from_onnx(again.SerializeToString()))


def test_layers_keep_the_names_of_their_nodes() -> None:
    nodes = [
        N("Conv", ["x", "w"], ["c"], name="stem"),
        N("Relu", ["c"], ["r"], name="act"),
        N("MaxPool", ["r"], ["y"], name="pool", kernel_shape=[2, 2]),
    ]
    network = from_onnx(build(nodes, {"w": draw(2, 3, 1, 1)}, shape=["N", 3, 4, 4], output_shape=["N", 2, 3, 3]))
    assert [layer.name for layer in network] == ["stem_transpose", "stem", "pool", "y_output_transpose"]
    assert kind(network["stem"]).attributes["activation"] == "relu"


def test_one_transposition_serves_all_who_read_the_image() -> None:
    nodes = [N("Conv", ["x", "w"], ["a"]), N("Conv", ["x", "v"], ["b"]), N("Add", ["a", "b"], ["s"]), N("GlobalAveragePool", ["s"], ["y"])]
    network = from_onnx(build(nodes, {"w": draw(2, 3, 1, 1), "v": draw(2, 3, 1, 1)}, shape=["N", 3, 4, 4], output_shape=["N", 2, 1, 1]))
    assert Counter(layer.kind for layer in network)["transpose"] == 1


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("unsigned", [False, True])
def test_what_onnx_runtime_quantises_is_read_and_computes_the_same(form: str, unsigned: bool, tmp_path: Path) -> None:
    """``quantize_static`` of a convolution, a MatMul with an Add, a Gemm and a Softmax: within two steps of the file in ONNX Runtime."""
    tool = pytest.importorskip("onnxruntime.quantization")
    rng = np.random.default_rng(0)
    sizes = {"w": (8, 3, 3, 3), "b": (8,), "m": (8, 12), "mb": (12,), "g": (12, 5), "gb": (5,)}
    nodes = [
        N("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        N("Relu", ["c"], ["r"]),
        N("AveragePool", ["r"], ["v"], kernel_shape=[2, 2], strides=[2, 2]),
        N("GlobalAveragePool", ["v"], ["p"]),
        N("Flatten", ["p"], ["f"]),
        N("MatMul", ["f", "m"], ["t"]),
        N("Add", ["t", "mb"], ["a"]),
        N("Relu", ["a"], ["u"]),
        N("Gemm", ["u", "g", "gb"], ["l"]),
        N("Softmax", ["l"], ["y"], axis=-1),
    ]
    constants = {name: (rng.normal(size=size) / 3).astype(np.float32) for name, size in sizes.items()}
    float_file, file = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    float_file.write_bytes(build(nodes, constants, shape=["N", 3, 8, 8], output_shape=["N", 5]))
    x = rng.normal(size=(32, 3, 8, 8)).astype(np.float32)

    class Samples(tool.CalibrationDataReader):  # type: ignore[name-defined]
        rest = iter([{"x": x}])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rest, None)

    kind = tool.QuantType.QUInt8 if unsigned else tool.QuantType.QInt8
    tool.quantize_static(float_file, file, Samples(), quant_format=tool.QuantFormat[form], activation_type=kind, per_channel=unsigned)
    network = from_onnx(file)
    if form == "QOperator" and not unsigned:
        assert network.numeric == "int8"
        return  # ONNX Runtime itself has no kernel for these
    deployment = deploy(network)
    twin = Interpreter(deployment.program)
    made = []
    for sample in deployment.inputs(x):
        twin.predict(sample)
        made.append(twin.output())
    quant = network.layers[-1].quant["output"]
    real = (np.array(made, np.float64) - quant.zero_point) * quant.scale[0]
    assert np.abs(run_onnx(onnx.load(file), x) - real).max() <= 2.01 * quant.scale[0]


def test_every_operator_without_a_layer_is_named_with_its_count() -> None:
    nodes = [N("Sign", ["x"], ["a"]), N("Erf", ["a"], ["e"]), N("Sign", ["e"], ["y"])]
    with pytest.raises(Unsupported, match=r"^ONNX file: got operators edgeff has no layer for: Sign x2, Erf x1; allowed: Abs, Add, "):
        from_onnx(build(nodes, {}, shape=["N", 4], output_shape=["N", 4]))


def test_an_average_that_counts_its_padding_reads_a_layer_of_zeros() -> None:
    """PyTorch's default for AvgPool2d."""
    nodes = [N("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2], count_include_pad=1)]
    data, x = build(nodes, {}, shape=["N", 2, 6, 5], output_shape=["N", 2, 3, 3]), draw(3, 2, 6, 5)
    network = from_onnx(data)
    assert [layer.kind for layer in network] == ["transpose", "pad", "average_pool2d", "transpose"]
    y = forward(network, parameters(network), x)[network.layers[-1].name]
    np.testing.assert_allclose(y, run_onnx(onnx.load_from_string(data), x), rtol=1e-6, atol=1e-6)  # sums in another order


def test_operator_sets_before_7_say_by_attributes_what_later_ones_say_by_shapes() -> None:
    old = [CONV, N("Add", ["c", "v"], ["a"], broadcast=1, axis=1), N("Reshape", ["a"], ["y"], shape=[0, -1])]
    new = [CONV, N("Add", ["c", "v"], ["a"]), N("Reshape", ["a", "s"], ["y"])]
    v = draw(4)
    sizes: dict[str, Any] = {"shape": ["N", *IMAGE], "output_shape": ["N", 120]}
    networks = [
        from_onnx(build(old, PARAMETERS | {"v": v}, **sizes, opset=4)),
        from_onnx(build(new, PARAMETERS | {"v": v[:, None, None], "s": ints(0, -1)}, **sizes)),
    ]
    assert_same_network(networks[1], networks[0])
    with pytest.raises(BadInput, match="axis 3 for a constant"):
        from_onnx(build([CONV, N("Add", ["c", "w"], ["y"], broadcast=1, axis=3)], PARAMETERS, **sizes, opset=4))


def test_integers_that_a_file_casts_and_rounds_are_the_numbers_of_a_float_network() -> None:
    nodes = [
        N("Cast", ["x"], ["f"], to=1),
        N("Sub", ["f", "zero"], ["c"]),
        N("Mul", ["c", "step"], ["r"]),
        N("MatMul", ["r", "w"], ["m"]),
        N("QuantizeLinear", ["m", "scale", "point"], ["y"]),
    ]
    numbers = {
        "zero": np.array(-3, "f4"),
        "step": np.array(0.25, "f4"),
        "w": draw(4, 3),
        "scale": np.array(0.5, "f4"),
        "point": np.array(7, "i1"),
    }
    model = onnx.load_from_string(build(nodes, numbers, input_type=onnx.TensorProto.INT8))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT8
    network = from_onnx(model.SerializeToString())
    assert network.metadata["source"]["dequantised_outputs"] == [network.layers[-1].name]
    x = RNG.integers(-128, 128, (20, 4)).astype(np.int8)
    rounded = run_onnx(model, x)
    made = forward(network, parameters(network), x.astype(np.float32))[network.layers[-1].name]
    np.testing.assert_array_equal(np.clip(np.rint(made / 0.5) + 7, -128, 127), rounded)


def test_a_resize_to_a_size_repeats_pixels_where_the_batch_stays() -> None:
    nodes = [N("Resize", ["x", "", "", "to"], ["y"], mode="nearest")]
    model, x = onnx.load_from_string(build(nodes, {"to": ints(1, 3, 12, 15)}, shape=[1, *IMAGE])), RNG.normal(size=(1, *IMAGE)).astype("f4")
    network = from_onnx(model.SerializeToString())
    np.testing.assert_array_equal(forward(network, parameters(network), x)[network.layers[-1].name], run_onnx(model, x))
    with pytest.raises(Unsupported, match="no constant scales"):
        from_onnx(build(nodes, {"to": ints(5, 3, 12, 15)}, shape=["N", *IMAGE]))
