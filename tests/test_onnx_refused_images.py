"""Convolutional ONNX files that are refused: each in one line that names the node, its operator and what would be allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from test_onnx import N, build
from test_onnx_foreign import NORM, draw, ints
from test_onnx_quantised import FILTER, IN, MS, SHAPE, W, X, Y, parts, qdq

from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.formats import from_onnx
from edgeff.ir import Array

Refused = tuple[str, list[onnx.NodeProto], dict[str, Array]]


def window(**changes: Any) -> list[onnx.NodeProto]:
    return [N("Conv", ["x", "w"], ["y"], **changes)]


REFUSED: dict[str, Refused] = {
    "groups": ("in 4 groups", window(group=4), {"w": draw(8, 2, 3, 3)}),
    "groups that share no outputs": ("in 3 groups", window(group=3), {"w": draw(4, 2, 3, 3)}),
    "no groups": ("in 0 groups", window(group=0), {"w": draw(4, 6, 3, 3)}),
    "dilation": ("attribute dilations", window(dilations=[0, 1]), {"w": draw(4, 6, 3, 3)}),
    "stride 0": ("strides", window(strides=[0, 1]), {"w": draw(4, 6, 3, 3)}),
    "one stride": ("strides", window(strides=[1]), {"w": draw(4, 6, 3, 3)}),
    "strides that are no integers": ("strides", window(strides=[1.5, 1.5]), {"w": draw(4, 6, 3, 3)}),
    "negative pads": ("pads", window(pads=[0, 0, -1, 0]), {"w": draw(4, 6, 3, 3)}),
    "huge pads": ("padded to (2147483656, 7)", window(pads=[2**30, 0, 2**30, 0]), {"w": draw(4, 6, 3, 3)}),
    "a huge pool": ("padded to (16777223, 7)", [N("MaxPool", ["x"], ["y"], kernel_shape=[2**24, 1], auto_pad="SAME_UPPER")], {}),
    "huge padding before a pool": (
        "padded to",
        [N("Pad", ["x", "p"], ["q"]), N("MaxPool", ["q"], ["y"], kernel_shape=[1, 1], strides=[2**24, 1])],
        {"p": ints(0, 0, 2**24, 0, 0, 0, 0, 0)},
    ),
    "pads beside auto_pad": ("auto_pad SAME_UPPER", window(auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]), {"w": draw(4, 6, 3, 3)}),
    "auto_pad that leaves gaps": ("runtimes disagree", window(auto_pad="SAME_UPPER", strides=[7, 7]), {"w": draw(4, 6, 1, 1)}),
    "a flag": ("ceil_mode of 2", [N("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=2)], {}),
    "a constant of more axes": (
        "a constant of shape (1, 1, 4, 1, 1)",
        [N("Conv", ["x", "w"], ["c"]), N("Add", ["c", "f"], ["y"])],
        {"w": draw(4, 6, 1, 1), "f": draw(1, 1, 4, 1, 1)},
    ),
    "auto_pad": ("auto_pad 'SAME'", window(auto_pad="SAME"), {"w": draw(4, 6, 3, 3)}),
    "kernel_shape": ("kernel_shape (2, 2)", window(kernel_shape=[2, 2]), {"w": draw(4, 6, 3, 3)}),
    "kernel larger than the image": ("windows of 9x3", window(), {"w": draw(4, 6, 9, 3)}),
    "channels": ("a weight of shape (4, 5, 3, 3)", window(), {"w": draw(4, 5, 3, 3)}),
    "weight of three axes": ("a weight of shape (4, 6, 3)", window(), {"w": draw(4, 6, 3)}),
    "empty weight": ("a weight of shape (4, 6, 0, 3)", window(), {"w": np.zeros((4, 6, 0, 3), np.float32)}),
    "weight that is computed": ("a weight that is computed", [N("Relu", ["x"], ["r"]), N("Conv", ["x", "r"], ["y"])], {}),
    "bias": ("a bias of shape (3,)", [N("Conv", ["x", "w", "b"], ["y"])], {"w": draw(4, 6, 3, 3), "b": draw(3)}),
    "groups of unequal outputs": ("in 6 groups", window(group=6), {"w": draw(8, 1, 3, 3)}),
    "pool without a size": ("no kernel_shape", [N("MaxPool", ["x"], ["y"])], {}),
    "pool larger than the image": ("windows of 9x1", [N("MaxPool", ["x"], ["y"], kernel_shape=[9, 1])], {}),
    "pool of padding alone": ("padding", [N("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[2, 0, 0, 0])], {}),
    "column-major": ("storage_order", [N("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], storage_order=1)], {}),
    "indices that are read": ("second output", [N("MaxPool", ["x"], ["c", "i"], kernel_shape=[2, 2]), N("Add", ["c", "i"], ["y"])], {}),
    "clip": (
        "values clipped to -1 .. 1",
        [N("Clip", ["x", "low", "high"], ["y"])],
        {"low": np.array(-1, np.float32), "high": np.array(1, np.float32)},
    ),
    "mean of the channels": ("a mean over axes [1]", [N("ReduceMean", ["x"], ["y"], axes=[1])], {}),
    "mean of everything": ("axes that are not given", [N("ReduceMean", ["x"], ["y"])], {}),
    "the batch as a size": (
        "a reshape to [7, 6, 8, -1099511627776]",
        [N("Shape", ["x"], ["s"]), N("Gather", ["s", "p"], ["c"]), N("Reshape", ["x", "c"], ["y"])],
        {"p": ints(3, 1, 2, 0)},
    ),
    "an image gathered": ("one index, after the batch", [N("Gather", ["x", "p"], ["y"])], {"p": ints(0)}),
    "images joined along the batch": ("axis 0 of 4", [N("Concat", ["x", "x"], ["y"], axis=0)], {}),
    "sum of unlike shapes": (
        "shapes that broadcast",
        [N("MaxPool", ["x"], ["p"], kernel_shape=[3, 3]), N("Add", ["x", "p"], ["y"])],
        {},
    ),
    "factor of each sample": (
        "a constant of shape (2, 1, 1, 1)",
        [N("Conv", ["x", "w"], ["c"]), N("Mul", ["c", "f"], ["y"])],
        {"w": draw(4, 6, 1, 1), "f": draw(2, 1, 1, 1)},
    ),
    "normalisation of the input": (
        "cannot be folded into the layer before it",
        [N("BatchNormalization", ["x", *NORM], ["y"])],
        {name: np.ones(6, np.float32) for name in NORM},
    ),
    "normalisation in training": (
        "training",
        [N("Conv", ["x", "w"], ["c"]), N("BatchNormalization", ["c", *NORM], ["y"], training_mode=1)],
        {"w": draw(4, 6, 1, 1)} | NORM,
    ),
    "normalisation of too few channels": (
        "four of float32",
        [N("Conv", ["x", "w"], ["c"]), N("BatchNormalization", ["c", *NORM], ["y"])],
        {"w": draw(5, 6, 1, 1)} | NORM,
    ),
    "variance below zero": (
        "NaN",
        [N("Conv", ["x", "w"], ["c"]), N("BatchNormalization", ["c", *NORM], ["y"])],
        {"w": draw(4, 6, 1, 1)} | NORM | {"va": -np.ones(4, np.float32)},
    ),
    "batch axis moved": ("whose batch is axis 1", [N("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]), N("Relu", ["t"], ["y"])], {}),
    "perm": ("perm [0, 1, 1, 2]", [N("Transpose", ["x"], ["y"], perm=[0, 1, 1, 2])], {}),
    "mirrored padding": ("mode constant", [N("Pad", ["x", "p"], ["y"], mode="reflect")], {"p": ints(0, 0, 1, 0, 0, 0, 0, 0)}),
    "cropping": ("pads", [N("Pad", ["x", "p"], ["y"])], {"p": ints(0, 0, -1, 0, 0, 0, 0, 0)}),
    "too few pads": ("8 of int64", [N("Pad", ["x", "p"], ["y"])], {"p": ints(0, 0, 1, 1)}),
    "a cycle through a sum": (
        "cycle",
        [N("Conv", ["s", "w"], ["c"]), N("Add", ["x", "c"], ["s"]), N("Relu", ["s"], ["y"])],
        {"w": draw(6, 6, 1, 1)},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_by_name_in_one_line(case: str) -> None:
    part, nodes, constants = REFUSED[case]
    with pytest.raises((BadInput, Unsupported)) as caught:
        from_onnx(build(nodes, constants, shape=["N", 6, 8, 7], output_shape=["N", 1, 1, 1]))
    text = str(caught.value)
    assert part in text
    assert any(name in text for name in ("node 'y'", "node 'c'", "node 's'", "layer 'y'"))
    assert text.isprintable()


QUANTISED: dict[str, tuple[type[EdgeffError], str, list[onnx.NodeProto], dict[str, Array]]] = {
    "an average whose scale changes": (
        Unsupported,
        "a change of scale",
        [*qdq("a", "x", "xf", "x"), N("AveragePool", ["xf"], ["v"], kernel_shape=[2, 2], pads=[1, 0, 0, 0]), *qdq("b", "v", "y", "y")],
        {},
    ),
    "integers that are not dequantised": (Unsupported, "not dequantised", [IN, N("Relu", ["q"], ["y"])], {}),
    "two zero points of an activation": (
        Unsupported,
        "4 scales along axis 0 of an activation",
        [IN, N("QLinearConv", ["q", "s4", "z4", "w", *W, *Y], ["y"])],
        FILTER | {"s4": np.full(4, 0.1, np.float32), "z4": np.array([0, 0, 1, 0], np.int8)},
    ),
    "scales of the inputs of a weight": (
        Unsupported,
        "3 scales along axis 0",
        [IN, N("QLinearConv", ["q", *X, "w", "s3", "", *Y], ["y"])],
        FILTER | {"s3": np.full(3, 0.1, np.float32)},
    ),
    "scales along another axis of a weight": (
        Unsupported,
        "scales along axis 1",
        [*qdq("a", "x", "xf", "x"), N("DequantizeLinear", ["w", "s3"], ["wf"], axis=1), N("Conv", ["xf", "wf"], ["y"])],
        FILTER | {"s3": np.full(3, 0.1, np.float32)},
    ),
    "a float bias": (Unsupported, "a bias of float32", [IN, N("QLinearConv", ["q", *X, "w", *W, *Y, "b"], ["y"])], FILTER | {"b": draw(4)}),
    "a scale that is computed": (
        Unsupported,
        "a scale that is computed",
        [N("Relu", ["x"], ["r"]), N("QuantizeLinear", ["x", "r"], ["y"])],
        {},
    ),
    "another domain": (Unsupported, "domain", [N("Conv", ["x", "k"], ["y"], domain=MS)], {"k": draw(4, 3, 3, 3)}),
    "an operator outside its domain": (Unsupported, "no layer for", [IN, N("QLinearAdd", ["q", *X, "q", *X, *Y], ["y"])], {}),
    "a batch normalisation": (
        Unsupported,
        "folded",
        [*qdq("a", "x", "xf", "x"), N("BatchNormalization", ["xf", "g", "g", "g", "g"], ["y"])],
        {"g": np.ones(3, np.float32)},
    ),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_what_is_refused_among_integers_is_refused_by_name_in_one_line(name: str) -> None:
    kind, part, nodes, constants = QUANTISED[name]
    with pytest.raises(kind) as caught:
        from_onnx(build(nodes, parts(np.int8) | constants, shape=["N", *SHAPE], output_shape=["N", 1]))
    assert part in str(caught.value)
    assert str(caught.value).startswith(("node '", "layer '"))
    assert str(caught.value).isprintable()
